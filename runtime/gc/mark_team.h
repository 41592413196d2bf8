// The kernel threads that mark.
//
// The collector's own thread is member 0, or in a stop, while that thread sleeps, the M that makes it; the others
// are started when they are first needed, and sleep between the calls of run(). A member does its share of the
// roots, then looks into queued objects until nobody has any: one that has nothing waits, and while somebody waits
// the others share what they have.
//
// Members are kernel threads and no green threads, and need no P. So the collector works while the world is stopped,
// nothing of it is ever parked, frozen or counted when deadlocks are sought, and it needs no place in any run queue.
// The kernel gives each of them as much of a CPU as an M: with one for four Ps that is a fifth to a fourth of all CPUs
// when all are busy. What is more than that works only while Ps are idle, and is not even woken before: if Ps become
// idle while marking goes on, the team begins anew with more members. With less than four Ps the one member rests in
// between (see pause_for_others).
//
// One that has nothing to do sleeps until others have something for it, or all is done. (Looking again every 20 us
// takes the CPU away from just those that work, on a machine that has none to spare: cycles of 20 ms instead of 4.)
#pragma once

#include <pthread.h>

#include <atomic>
#include <cstdint>
#include <memory>

#include "runtime/gc/marker.h"

namespace rt::detail {

class mark_team {
 public:
  static constexpr int most_members = 64;

  explicit mark_team(mark_pool& pool) noexcept;
  ~mark_team();
  mark_team(const mark_team&) = delete;
  mark_team& operator=(const mark_team&) = delete;

  /// What the members do. Lives until run() has returned.
  struct assignment {
    /// The roots that member `index` of `members` looks at; may be null.
    void (*roots)(void* argument, marker& into, std::size_t index, std::size_t members) = nullptr;
    void* argument = nullptr;
    /// Steady clock, ns: when to stop although there is work left.
    std::int64_t until = INT64_MAX;
    /// Beside running green threads: no more CPU time than is the collector's.
    bool considerate = false;
  };
  /// Starts members until there are so many, if the system lets it. Not while the world is stopped: it calls malloc.
  void prepare(int members) noexcept;
  /// Lets `members` (at most as many as were started) do `work`, the calling thread among them. True when nothing was
  /// left to do, at some moment.
  bool run(const assignment& work, int members) noexcept;

  /// Bytes looked into by all members, so far; what somebody is at is not in it yet.
  std::uint64_t scanned() const noexcept { return scanned_.load(std::memory_order_relaxed); }
  /// Somebody outside of the team has found nothing to do: members share what they have.
  void ask_for_work() noexcept { asked_.store(true, std::memory_order_relaxed); }
  /// Since the last call, of all members.
  marker::counts take_counts() noexcept;
  /// CPU time of all members inside run(), ns, so far.
  std::int64_t cpu_time() const noexcept { return cpu_time_.load(std::memory_order_relaxed); }
  int started() const noexcept { return started_; }
  marker& first() noexcept { return *members_[0].own; }

 private:
  struct member {
    mark_team* team = nullptr;
    int index = 0;
    pthread_t thread{};
    std::unique_ptr<marker> own;
    std::uint64_t told_scanned = 0;
    std::int64_t burst_began = 0;    // CPU time at which it last rested
    std::int64_t no_rest_until = 0;  // steady clock: before that it cannot have used so much
  };

  static void* thread_main(void* argument) noexcept;
  void work(member& self) noexcept;
  bool enough(member& self) noexcept;
  void tell_scanned(member& self) noexcept;
  bool pause_for_others(member& self) noexcept;
  void sleep_until_news() noexcept;
  void tell_sleepers() noexcept;

  mark_pool& pool_;
  member members_[most_members];
  int started_ = 1;
  const assignment* work_ = nullptr;
  std::size_t present_ = 0;  // members of this run
  // Futex: changes with each run. The lowest byte says how many take part, so that it is read together with the turn.
  std::atomic<std::uint32_t> turn_{0};
  std::atomic<std::uint32_t> unfinished_{0};  // futex: members that are at it
  std::atomic<std::uint32_t> waiting_{0};     // of them, those that have nothing to do
  std::atomic<bool> stopped_{false};          // somebody found that it is time
  std::atomic<bool> asleep_{false};           // some of those sleep, or are about to
  std::atomic<std::uint32_t> news_{0};        // futex: changes when they are to look again
  std::atomic<bool> ending_{false};
  std::atomic<std::int64_t> cpu_time_{0};
  std::atomic<std::uint64_t> scanned_{0};
  std::atomic<bool> asked_{false};
};

}  // namespace rt::detail
