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
//    the exception's text. After a stop, exceptions are what unwinding looks like: the task ends as cancelled.
// 3. No exception object outlives the green thread that it left: its type may live in the plugin.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "rt/task.h"
#include "runtime/os/spin_lock.h"
#include "runtime/sched/group.h"
#include "runtime/task/log_queue.h"
#include "runtime/task/metric_registry.h"

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
  std::size_t stack_size = 0;  ///< default of its green threads in bytes, guard included; 0: the runtime's
};

class task_state {
 public:
  /// Called on the task's first green thread when the entry is about to run, and when the task has ended, then with the
  /// reason of a failure. Must neither block nor throw.
  using phase_callback = std::function<void(task_state&, task_phase, const std::string& error)>;

  static constexpr std::size_t most_line_bytes = 8192;
  static constexpr std::size_t most_status_bytes = 200;

  task_state(task_spec spec, std::shared_ptr<log_queue> log, phase_callback on_phase);
  task_state(const task_state&) = delete;
  task_state& operator=(const task_state&) = delete;
  /// Waits until no green thread of the task is left, which is at once when its end has been reported.
  ~task_state();

  /// Starts the entry. Once. Any thread of a process whose runtime runs. @throws std::system_error when no stack can be
  /// had; the task has not started then and reports nothing.
  void start();

  /// Asks the task to end: cancels its green threads. Returns at once. Idempotent. Any thread.
  void stop() noexcept;

  const task_identity& identity() const noexcept { return *identity_; }
  task_phase phase() const noexcept { return phase_.load(std::memory_order_acquire); }  // pairs with advance
  std::uint64_t green_threads() const noexcept { return group_.live(); }
  double cpu_seconds() const noexcept { return group_.cpu_seconds(); }
  std::chrono::system_clock::time_point started_at() const noexcept { return started_at_; }
  std::string status() const;
  const metric_registry& metrics() const noexcept { return metrics_; }

  // What rt::task is made of.
  const task_parameters& parameters() const noexcept { return parameters_; }
  bool stopping() const noexcept { return group_.domain.is_cancelled(); }
  void log(log_level level, std::string_view message) const noexcept;
  void set_status(std::string_view text);
  metric_registry& metrics() noexcept { return metrics_; }
  task& face() noexcept { return face_; }

 private:
  static void take_exception(group& failed, std::exception_ptr error) noexcept;
  void run() noexcept;
  void fail(const std::exception_ptr& error) noexcept;
  void advance(task_phase to) noexcept;

  std::shared_ptr<const task_identity> identity_;
  task_parameters parameters_;
  void (*function_)(task&);
  std::shared_ptr<log_queue> log_;
  phase_callback on_phase_;
  std::chrono::system_clock::time_point started_at_;
  metric_registry metrics_;
  task face_{*this};
  std::atomic<task_phase> phase_{task_phase::starting};
  std::atomic<bool> stop_asked_{false};
  mutable os::spin_lock lock_{os::lock_rank::none};
  std::string status_ RT_GUARDED_BY(lock_);
  bool has_error_ RT_GUARDED_BY(lock_) = false;
  bool has_failed_ RT_GUARDED_BY(lock_) = false;
  std::string error_ RT_GUARDED_BY(lock_);
  group group_;  // last: its green threads use all of the above
};

}  // namespace rt::detail
