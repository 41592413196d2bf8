// Clean-up functions whose objects are dead, and who calls them.
#pragma once

#include <atomic>

#include "runtime/gc/attachments.h"
#include "runtime/os/spin_lock.h"
#include "runtime/sched/green_thread.h"

namespace rt::detail {

/// Those of one task, and the green thread that calls them.
class task_cleanups {
 public:
  task_cleanups();
  ~task_cleanups();
  task_cleanups(const task_cleanups&) = delete;
  task_cleanups& operator=(const task_cleanups&) = delete;

  /// Starts the green thread at the first call. @throws std::system_error
  void start();
  /// No function is called any more, because the task is ending.
  bool has_ended() const noexcept { return ended_.load(std::memory_order_seq_cst); }
  /// The node's object is dead. Any thread, in a critical section.
  void add_dead(attachment& one) noexcept;
  /// Wakes the green threads that have something to do.
  static void wake_all() noexcept;

 private:
  void serve();
  void end() noexcept;
  bool call_one();

  std::atomic<attachment*> dead_{nullptr};
  attachment* taken_ = nullptr;  // of the green thread alone
  std::atomic<bool> started_{false};
  std::atomic<bool> ended_{false};
  os::spin_lock lock_{os::lock_rank::none};
  green_thread* who_ RT_GUARDED_BY(lock_) = nullptr;
  task_cleanups* next_ = nullptr;  // of all; under the lock of the list
};

/// Those of the caller's task, on a green thread. @throws std::bad_alloc, std::system_error
task_cleanups& cleanups_of_task();
/// Destroys the node's function without calling it. It is in no list.
void throw_away(attachment& one) noexcept;

}  // namespace rt::detail
