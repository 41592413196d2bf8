// A model of the scheduler on machines that are not at hand: the real run queue (runtime/sched/run_queue.h) and the
// order of the real find_runnable, driven by events instead of kernel threads.
//
// Each core has a P and an M of its own, and a clock. The core whose clock is behind takes the next step: it runs its
// green thread, makes one decision, or looks at one victim. A step changes the queues at once and takes the time that
// costs.h gives it and that the cache lines which it touches need (memory.h). So two cores that want the same line or
// the global queue's lock wait for each other, and a thief disturbs its victim, as on a real machine.
//
// As in scheduler.cpp: the order (runnext, ring, global queue, poller, stealing), the global queue by every 61st
// decision looked at every 20 us, stealing half, four passes from a random P on with runnext on the last after 3 us, at
// most half of the busy Ps looking for work, one wake-up at a time and the last one that looked wakes the next, one
// look at all queues before sleeping, one M in the poller.
//
// Left out: timers, preemption, stop-the-world, the pool of stacks, and what the green threads themselves share. The
// system call that wakes a thread takes as long on 192 cores as on two.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <queue>
#include <vector>

#include "bench/simulation/costs.h"
#include "bench/simulation/memory.h"
#include "runtime/sched/run_queue.h"

namespace bench_simulation {

/// A green thread.
struct task {
  int kind = 0;
  int stage = 0;
  int last_core = -1;
  std::uint64_t size = 0;   // the workload's
  task* parent = nullptr;   // the workload's
  task* partner = nullptr;  // the workload's
  int children_left = 0;    // the workload's
  double ready_at = 0;      // the workload's
  bool parked = false;
  bool notified = false;  // woken before it had parked
};

/// What a green thread does next.
struct action {
  enum class what : std::uint8_t { work, spawn, wake, park, end } kind = what::end;
  double time = 0;        // of work
  task* other = nullptr;  // of spawn and wake
};

class model;

/// What could be otherwise than it is; the defaults are what the scheduler does.
struct policy {
  int waking = 1;           ///< cores that may be on their way to find work when another one is woken
  bool near_first = false;  ///< thieves look at the cores of their own group first
};

/// What the green threads do.
class workload {
 public:
  virtual ~workload() = default;
  /// The first green thread, which core 0 begins with.
  virtual task* first() = 0;
  /// Called when a task has done its last action.
  virtual action next(model& machine, task& one, int core) = 0;
  /// A green thread that something outside makes ready, and when; in the order of time. Null when there are no more.
  virtual task* arrival(double& /*when*/) { return nullptr; }
  /// Whether the end has come although tasks are left.
  virtual bool over(const model& /*machine*/, double /*now*/) { return false; }
};

/// What happened.
struct outcome {
  double time = 0;    // until the last task ended
  double worked = 0;  // time in the tasks' own work, all cores together
  double spread = 0;  // until the last core that ran any task had its first
  int cores_used = 0;
  std::uint64_t created = 0;
  std::uint64_t ended = 0;
  std::uint64_t decisions = 0;
  std::uint64_t steals = 0;
  std::uint64_t failed_steals = 0;  // four passes in vain
  std::uint64_t wakes = 0;
  std::uint64_t lock_holds = 0;     // of the scheduler's lock
  double lock_wait = 0;             // time in front of it, all cores together
  std::uint64_t left_spinning = 0;  // at the end: none, if the model is right
};

class model {
 public:
  model(int cores, const costs& price, std::uint64_t seed, policy rules = {});
  model(const model&) = delete;
  model& operator=(const model&) = delete;

  /// Runs the workload to its end.
  outcome run(workload& what);
  int cores() const noexcept { return static_cast<int>(cores_.size()); }
  /// Cores that have had a green thread.
  int cores_used() const noexcept { return found_.cores_used; }
  /// The clock of a core.
  double now(int id) const noexcept { return cores_[static_cast<std::size_t>(id)]->now; }

 private:
  enum class state : std::uint8_t { running, finding, stealing, taking_runnext, leaving, asleep, polling };

  struct core {
    int id = 0;
    state doing = state::asleep;
    double now = 0;
    bool spinning = false;
    bool was_spinning = false;  // before it gave its P up
    std::uint64_t ticket = 0;   // of its event that counts
    bool idle = true;           // its P is in the idle list
    bool handed = false;        // its P was taken from the list for it, before it slept
    task* current = nullptr;
    task* runnext = nullptr;
    int runnext_streak = 0;
    rt::detail::basic_run_queue<task, 256> ring;
    std::uint32_t tick = 0;
    std::uint32_t last_global_tick = 0;
    double next_check = 0;
    int pass = 0;
    int start = 0;
    int step = 0;
    task* wanted = nullptr;  // the runnext that it waits for
    std::uint64_t random = 0;
    bool ran = false;
    cache_line hot;   // tick, runnext
    cache_line head;  // of the ring
    cache_line tail;
    cache_line rest;  // idle
  };
  struct event {
    double when;
    std::uint64_t order;
    int core;
    std::uint64_t ticket;
    bool operator>(const event& other) const noexcept {
      return when != other.when ? when > other.when : order > other.order;
    }
  };

  core& at(int id) noexcept { return *cores_[static_cast<std::size_t>(id)]; }
  void schedule(core& self) { events_.push({self.now, order_++, self.id, self.ticket}); }
  void touch(core& self, cache_line& line) { self.now += price_.look + line.read(price_, self.id, self.now); }
  void change(core& self, cache_line& line) { self.now += price_.locked + line.write(price_, self.id, self.now); }
  void store(core& self, cache_line& line) { self.now += line.write(price_, self.id, self.now); }
  /// Takes the scheduler's lock and holds it for `length`.
  void hold_lock(core& self, double length);
  static std::uint32_t random_number(core& self) noexcept;

  void step(core& self);
  void run_current(core& self);
  void find(core& self);
  core& victim_of(core& self, int step);
  void look_at_victim(core& self);
  void take_runnext(core& self);
  void leave(core& self);
  void begin(core& self, task& next);
  task* pick_queued(core& self);
  task* take_global(core& self, std::uint64_t most);
  task* poll(core& self);
  void push(core& self, task& one);
  void make_ready(core& self, task& one);
  void wake_for_work(core& self);
  void give_up_proc(core& self);
  void take_proc(core& self, int id);

  const costs price_;
  const policy rules_;
  std::vector<std::unique_ptr<core>> cores_;
  std::priority_queue<event, std::vector<event>, std::greater<>> events_;
  std::uint64_t order_ = 0;
  workload* what_ = nullptr;
  outcome found_;

  std::deque<task*> global_;
  std::vector<int> idle_;  // the last one given up is the first one taken
  int spinning_ = 0;
  cache_line lock_line_;  // the lock, the global queue and its length, the idle list
  cache_line idle_line_;
  cache_line spinning_line_;  // with poll_turn
  double lock_free_at_ = 0;
  bool poll_turn_ = false;
  bool arrivals_ = false;    // the workload has any
  task* arrival_ = nullptr;  // the next one
  double arrival_at_ = 0;
  double last_poll_ = 0;
};

}  // namespace bench_simulation
