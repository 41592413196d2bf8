// A task: an entry that runs on green threads of a group of its own, from its start to its end.
//
//   starting ── the entry is called ──> running ── returns, throws, or stop() ──> draining ──> completed
//                                                                                         ├──> failed
//                                                                                         └──> cancelled
//
// The entry runs on the task's first green thread. When it has returned, by itself or by an exception, that green
// thread cancels the group's domain and waits until it is the last one, then reports the end. So the end is reported by
// the task itself and no other thread has to watch over it; what a stop that is not obeyed leads to is for the caller
// to say, who knows the grace.
//
// Invariants:
// 1. The phase only moves to the right in the picture above, and one of the last three is reported exactly once.
// 2. The first exception that leaves a green thread of the task, before a stop was asked for, makes it failed, with
//    the exception's text. After a stop, exceptions are what unwinding looks like: the task ends as cancelled. A drain
//    is a stop in this: a task that returns after it has completed, one that throws is cancelled.
// 3. A task whose green threads all wait for each other for good (sched/deadlock_watch.h) fails in the same way, with a
//    text that begins with "deadlock:", when its policy says so. Tasks of one plugin are one sharing domain.
// 4. No exception object outlives the green thread that it left: its type may live in the plugin.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "rt/runtime.h"
#include "rt/task.h"
#include "runtime/os/spin_lock.h"
#include "runtime/sched/group.h"
#include "runtime/sync/root_context.h"
#include "runtime/task/kept_listeners.h"
#include "runtime/task/line_rate.h"
#include "runtime/task/log_queue.h"
#include "runtime/task/metric_registry.h"
#include "runtime/task/task_limits.h"

namespace rt::detail {

enum class task_phase : std::uint8_t { starting, running, draining, completed, failed, cancelled };
const char* to_text(task_phase phase) noexcept;
inline bool is_final(task_phase phase) noexcept { return phase >= task_phase::completed; }

using task_parameters = std::map<std::string, std::vector<std::string>, std::less<>>;

/// What a task is to be.
struct task_spec {
  std::string id;
  std::string plugin;
  std::string entry;
  void (*function)(task&) = nullptr;
  task_parameters parameters;
  std::size_t stack_size = 0;             ///< default of its green threads in bytes, guard included; 0: the runtime's
  std::uint32_t weight = default_weight;  ///< its part of the CPU beside other tasks (sched/fair_queue.h)
  share_class scheduling = share_class::normal;  ///< whether it goes first
  deadlock_policy on_deadlock = deadlock_policy::fail;
  task_limits limits;
  std::shared_ptr<const kept_listeners> listeners;  ///< that it was given; may be null
};

class task_state {
 public:
  /// Called on the task's first green thread when the entry is about to run, and when the task has ended, then with the
  /// reason of a failure. Must neither block nor throw.
  using phase_callback = std::function<void(task_state&, task_phase, const std::string& error)>;
  /// Called on a thread of the runtime when the task is deadlocked, after its stacks were logged and before its end,
  /// if its policy is to fail. Must neither block nor throw.
  using deadlock_callback = std::function<void(task_state&, const std::string& what)>;

  /// Called on any thread when take_met_limits() or report_drops() has something. Must neither block, allocate nor
  /// throw.
  using limit_callback = std::function<void()>;

  static constexpr std::size_t most_line_bytes = 8192;
  static constexpr std::size_t most_status_bytes = 200;

  task_state(task_spec spec, std::shared_ptr<log_queue> log, phase_callback on_phase,
             deadlock_callback on_deadlock = nullptr, limit_callback on_limit = nullptr);
  task_state(const task_state&) = delete;
  task_state& operator=(const task_state&) = delete;
  /// Waits until no green thread of the task is left, which is at once when its end has been reported.
  ~task_state();

  /// Starts the entry. Once. Any thread of a process whose runtime runs. @throws std::system_error when no stack can be
  /// had; the task has not started then and reports nothing.
  void start();

  // A stop climbs a ladder, of which the caller may leave out the lower rungs; each returns at once, is idempotent, and
  // may be called from any thread.
  /// Asks the entry to finish by itself (rt::task::draining).
  void drain() noexcept;
  /// Ends the root context: what watches it leaves, all else goes on.
  void cancel_context() noexcept;
  /// Asks the task to end: cancels its green threads, which unwind at their next call of the runtime.
  void stop() noexcept;

  /// Changes its part of the CPU, from now on. Any thread.
  void set_share(std::uint32_t weight, share_class scheduling) noexcept { group_.set_share(weight, scheduling); }

  /// Changes its limits, from now on. Any thread. @throws std::bad_alloc
  void set_limits(const task_limits& to);
  task_limit_figures limit_figures() const noexcept;
  /// The limits that it has met since the last call, but for those that it had met in the ten seconds before. One
  /// thread's, as report_drops.
  std::vector<met_limit> take_met_limits();
  /// Logs how many lines were dropped because of log_rate, once a second at most unless `at_once`. Returns when there
  /// will be something to log (steady clock, ns); INT64_MAX: nothing that on_limit does not tell.
  std::int64_t report_drops(bool at_once);
  /// Its memory on the collected heap. Any thread; stops nothing.
  const task_heap& heap() const noexcept { return group_.heap; }

  const task_identity& identity() const noexcept { return *identity_; }
  task_phase phase() const noexcept { return phase_.load(std::memory_order_acquire); }  // pairs with advance
  std::uint64_t green_threads() const noexcept { return group_.live(); }
  double cpu_seconds() const noexcept { return group_.cpu_seconds(); }
  bool has_accepted() const noexcept { return group_.connections->has_accepted(); }
  group::queue_waits waits() const noexcept { return group_.waits(); }
  std::chrono::system_clock::time_point started_at() const noexcept { return started_at_; }
  std::string status() const;
  const metric_registry& metrics() const noexcept { return metrics_; }

  const std::shared_ptr<const kept_listeners>& listeners() const noexcept { return listeners_; }

  // What rt::task is made of.
  const task_parameters& parameters() const noexcept { return parameters_; }
  rt::context context() { return root_context_of(group_); }
  bool draining() const noexcept { return stop_asked_.load(std::memory_order_acquire); }  // pairs with ask_for_stop
  rt::context drain_context();
  bool stopping() const noexcept { return group_.domain.is_cancelled(); }
  /// By the plugin: within its rate.
  void log(log_level level, std::string_view message) noexcept;
  void set_status(std::string_view text);
  metric_registry& metrics() noexcept { return metrics_; }
  task& face() noexcept { return face_; }

 private:
  static void take_exception(group& failed, std::exception_ptr error) noexcept;
  static void take_deadlock(group& dead) noexcept;
  static void take_met_limit(group& of) noexcept;
  /// By the runtime: without regard to the rate.
  void write_line(log_level level, std::string_view message) const noexcept;
  void drop_line() noexcept;
  void log_stacks() const;
  void run() noexcept;
  void fail(const std::exception_ptr& error) noexcept;
  bool note_failure(std::string& text) noexcept;
  void ask_for_stop() noexcept;
  void advance(task_phase to) noexcept;

  std::shared_ptr<const task_identity> identity_;
  task_parameters parameters_;
  std::shared_ptr<const kept_listeners> listeners_;
  void (*function_)(task&);
  std::shared_ptr<log_queue> log_;
  phase_callback on_phase_;
  deadlock_callback on_deadlock_;
  limit_callback on_limit_;
  const bool deadlock_fails_;
  std::chrono::system_clock::time_point started_at_;
  metric_registry metrics_;
  task face_{*this};
  std::atomic<task_phase> phase_{task_phase::starting};
  std::atomic<bool> stop_asked_{false};
  line_rate log_rate_;
  std::atomic<std::uint64_t> lines_dropped_{0};
  std::atomic<bool> drops_to_report_{false};
  // Of the thread that calls take_met_limits and report_drops.
  std::uint64_t drops_reported_ = 0;
  std::int64_t drops_reported_at_ = 0;                                   // steady clock, ns
  std::array<std::int64_t, std::size(all_limit_kinds)> limit_met_at_{};  // the same, as far as was seen
  mutable os::spin_lock lock_{os::lock_rank::none};
  std::string status_ RT_GUARDED_BY(lock_);
  bool has_error_ RT_GUARDED_BY(lock_) = false;
  bool has_failed_ RT_GUARDED_BY(lock_) = false;
  std::string error_ RT_GUARDED_BY(lock_);
  // Made when it is first asked for. The race by name: *drain against the first drain_context*. Under the lock one of
  // the two finds what the other left: the context, which it cancels, or drained_, upon which the maker cancels it.
  rt::cancellable_context drain_ RT_GUARDED_BY(lock_);
  bool drained_ RT_GUARDED_BY(lock_) = false;
  group group_;  // last: its green threads use all of the above
};

}  // namespace rt::detail
