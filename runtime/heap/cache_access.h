// How a thread gets into the heap.
#pragma once

#include "runtime/heap/heap_state.h"
#include "runtime/os/critical_section.h"

namespace rt::detail {

/// While it exists no marking begins or ends: the caller is in a critical section with its P, so that the world does
/// not stop, or has the lock of those without one.
class no_marking_changes {
 public:
  explicit no_marking_changes(heap_state& heap) noexcept : heap_(heap), self_(os::worker_slot()) {
    if (self_ != nullptr) {
      os::enter_critical(*self_);
      if (!self_->lost_proc.load(std::memory_order_relaxed)) return;
      // It has no P, or perhaps none. It goes on without one until its next call of the scheduler.
      os::leave_critical(*self_);
      self_ = nullptr;
    }
    lock_outside();
  }
  ~no_marking_changes() {
    if (self_ != nullptr) {
      os::leave_critical(*self_);
    } else {
      unlock_outside();
    }
  }
  no_marking_changes(const no_marking_changes&) = delete;
  no_marking_changes& operator=(const no_marking_changes&) = delete;

  /// The caller's P; null for those without one.
  proc_head* head() const noexcept { return self_ == nullptr ? nullptr : &head_of(self_->p); }

 private:
  // The analysis of locks does not see that a lock is taken or not.
  void lock_outside() noexcept RT_NO_THREAD_SAFETY_ANALYSIS { heap_.outside_lock.lock(); }
  void unlock_outside() noexcept RT_NO_THREAD_SAFETY_ANALYSIS { heap_.outside_lock.unlock(); }

  heap_state& heap_;
  os::worker_head* self_;
};

/// The same, with the caller's cache for `user`: that of its P, or the one that threads without a P share.
class cache_access : public no_marking_changes {
 public:
  cache_access(heap_state& heap, heap_owner& user) noexcept : no_marking_changes(heap) {
    proc_head* p = head();
    cache_ = user.need_cache(p == nullptr ? shared_place : p->heap_place);
    // What the scheduler itself allocates on this P, for no task, must not change whose runs the fast path takes.
    if (p != nullptr && cache_ != nullptr && &user != heap.no_task) p->runs.store(cache_, std::memory_order_relaxed);
  }
  /// Null when the system has no memory for one.
  allocation_cache* cache() const noexcept { return cache_; }

 private:
  allocation_cache* cache_;
};

}  // namespace rt::detail
