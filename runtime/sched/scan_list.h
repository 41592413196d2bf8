// What the scheduler tells a collector about stacks: which green threads have run since they were scanned.
//
// A collector scans the stacks of parked green threads while all others go on (park_word.h). At the end of its cycle it
// must know, without a walk over a hundred thousand descriptors, which stacks may have changed since, or were never
// scanned. These stand in one list:
//   1. those that a wake took off a scanned stack (note_ran, by the waker);
//   2. those that were started while the list was open (by whoever started them), or by a thread without a P, which may
//      not know yet that it is;
//   3. those that the collector itself finds running or queued when it comes to them.
// A green thread stands in it once, whoever puts it there, and may have ended, or be another one, when it is taken out.
// So the descriptor of one that has ended keeps its memory while it is in the list (kept_descriptor): with the link
// gone to zero the list would lose its rest, and become a circle when the place is used again.
//
// The list is pushed to by anybody and taken as a whole by the collector, so it needs no lock, and no element is met
// twice (ABA). While it is closed nothing is noted but (2) by threads without P: the price of a switch and of a wake is
// the same as without a collector.
#pragma once

#include <atomic>

#include "runtime/context/stack_pool.h"
#include "runtime/sched/green_thread.h"

namespace rt::detail {

class scan_list {
 public:
  /// The world is stopped. While it is open, whoever should note a green thread does.
  void open() noexcept { open_.store(true, std::memory_order_relaxed); }
  void close() noexcept { open_.store(false, std::memory_order_relaxed); }
  bool is_open() const noexcept { return open_.load(std::memory_order_relaxed); }

  /// Any thread.
  void add(green_thread& one) noexcept {
    // Acquire and release: pairs with take, which gives the link back.
    if (one.in_scan_list.exchange(true, std::memory_order_acq_rel)) return;
    green_thread* first = first_.load(std::memory_order_relaxed);
    do {
      one.scan_link.store(first, std::memory_order_relaxed);
      // Release: pairs with take_all.
    } while (!first_.compare_exchange_weak(first, &one, std::memory_order_release, std::memory_order_relaxed));
  }
  /// The collector: the whole list, linked; each of them to be given to next() in turn.
  green_thread* take_all() noexcept { return first_.exchange(nullptr, std::memory_order_acquire); }  // pairs with add
  /// The successor of `one`, which from here on may be added again.
  static green_thread* next(green_thread& one) noexcept {
    green_thread* following = one.scan_link.load(std::memory_order_relaxed);
    one.in_scan_list.store(false, std::memory_order_release);  // pairs with add
    return following;
  }

 private:
  std::atomic<bool> open_{false};
  alignas(64) std::atomic<green_thread*> first_{nullptr};
};

/// The process's list.
extern scan_list ran_since_scan;

/// For stack_pool::set_kept_part. While the list is closed nobody adds an ended green thread. While it is open the
/// collector may be about to add one that ended after it looked: then all descriptors stay.
inline const char* kept_descriptor(const stack_slot& slot) noexcept {
  const green_thread* one = descriptor_of(slot.base, slot.size, slot.index);
  bool kept = ran_since_scan.is_open() || one->in_scan_list.load(std::memory_order_acquire);  // pairs with next
  return kept ? reinterpret_cast<const char*>(one) : nullptr;
}

}  // namespace rt::detail
