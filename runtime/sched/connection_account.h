// How many connections a group has open, and how many it may have.
//
// A connection is counted before the system call that makes it and given back when its socket is closed, on whichever
// green thread that happens, after the group's end as well; hence sockets share the account with the group. At the
// limit an accept waits until one is given back, and takes nothing meanwhile: clients stand in the kernel's queue, and
// find another replica if there is one. A dial fails, since its caller may know what to do instead.
//
// Invariants
//   1 open() is never more than the limit was when the last one was taken.
//   2 While one is free, an accept that waits has been woken: who gives one back looks for waiters afterwards, who
//   waits
//     looks for a free one after it has enlisted (both seq_cst), and one that leaves the list wakes the next one.
//   3 A waiter is woken under the lock, so it is there; it may find that another one was faster, and enlists again.
//
// Rejected: accepting and closing at once beyond the limit, as some servers do (the client takes it for a crash, and
// comes again); a semaphore of the sync floor (sockets' deadlines and closes must end the wait).
#pragma once

#include <atomic>
#include <cstdint>

#include "runtime/os/spin_lock.h"
#include "runtime/sched/limits.h"

namespace rt::detail {

class connection_account {
 public:
  /// An accept that waits. Lives on the stack of its green thread.
  struct waiter {
    /// Called under the account's lock. Must not wait.
    void (*wake)(waiter&) noexcept = nullptr;
    waiter* next = nullptr;  // guarded by the account's lock, as the others
    waiter* previous = nullptr;
    bool is_listed = false;
  };

  connection_account() = default;
  connection_account(const connection_account&) = delete;
  connection_account& operator=(const connection_account&) = delete;

  /// no_limit: any number. Those that are open stay. Any thread.
  void set_most(std::uint64_t most) noexcept;
  /// Counts one more, unless there are as many as may be. Any thread, as all below.
  bool take() noexcept;
  void give_back() noexcept;
  bool has_room() const noexcept { return open_.load(std::memory_order_seq_cst) < most(); }

  /// The waiter is woken when a connection may be free. Each enlist is followed by a leave.
  void enlist(waiter& one) noexcept;
  void leave(waiter& one) noexcept;

  /// A connection was accepted, and not only dialled.
  void note_accept() noexcept {
    if (!has_accepted()) has_accepted_.store(true, std::memory_order_relaxed);
  }
  bool has_accepted() const noexcept { return has_accepted_.load(std::memory_order_relaxed); }

  void count_refused() noexcept { refused_.fetch_add(1, std::memory_order_relaxed); }
  void count_wait() noexcept { waits_.fetch_add(1, std::memory_order_relaxed); }
  /// The limit is met: true when that was not so just before, without many less meanwhile.
  bool is_newly_met() noexcept { return !is_met_.exchange(true, std::memory_order_relaxed); }

  std::uint64_t open() const noexcept { return open_.load(std::memory_order_relaxed); }
  std::uint64_t most() const noexcept { return most_.load(std::memory_order_relaxed); }
  /// Accepts that had to wait, and dials that were refused.
  std::uint64_t waits() const noexcept { return waits_.load(std::memory_order_relaxed); }
  std::uint64_t refused() const noexcept { return refused_.load(std::memory_order_relaxed); }

 private:
  void wake_first_locked() noexcept RT_REQUIRES(lock_);
  void unlink_locked(waiter& one) noexcept RT_REQUIRES(lock_);

  std::atomic<std::uint64_t> open_{0};
  std::atomic<std::uint64_t> most_{no_limit};
  std::atomic<std::uint64_t> listed_{0};  // how many wait
  std::atomic<bool> is_met_{false};
  std::atomic<bool> has_accepted_{false};
  std::atomic<std::uint64_t> waits_{0};
  std::atomic<std::uint64_t> refused_{0};
  os::spin_lock lock_{os::lock_rank::poll};
  waiter* first_ RT_GUARDED_BY(lock_) = nullptr;
  waiter* last_ RT_GUARDED_BY(lock_) = nullptr;
};

}  // namespace rt::detail
