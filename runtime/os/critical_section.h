// Sections in which a kernel thread of the runtime must not be interrupted for good.
//
// A thread that runs a green thread may be frozen by a signal at any instruction, or lose its P while it sleeps in the
// kernel (sched/preempt.cpp, sched/retake.cpp). It must be neither while it changes what a P owns or holds a lock of
// the runtime. So each M counts the sections that it is in. Only the M itself writes the count; the signal handler runs
// on the same thread, and the system monitor reads the count after a barrier on all threads.
//
// Floor 0 knows of an M little more than this count (rt/worker_head.h), because the runtime's locks count as sections
// by themselves.
#pragma once

#include <atomic>

#include "runtime/os/fatal.h"
#include "runtime/os/worker_slot.h"

namespace rt::os {

/// enter_critical where the caller is known to stand in no section, as a green thread's own code
/// never does, and the end of such a section. They store without a load: sections that follow each other within
/// nanoseconds would else wait for the count to come back from the store buffer each time.
inline void enter_first_critical(worker_head& self) noexcept {
#if RT_DEBUG_CHECKS
  if (self.critical.load(std::memory_order_relaxed) != 0) fatal("a first critical section was begun inside another");
#endif
  self.critical.store(1, std::memory_order_relaxed);
  std::atomic_signal_fence(std::memory_order_seq_cst);
}
inline void leave_first_critical(worker_head& self) noexcept {
#if RT_DEBUG_CHECKS
  if (self.critical.load(std::memory_order_relaxed) != 1) fatal("a first critical section ended inside another");
#endif
  std::atomic_signal_fence(std::memory_order_seq_cst);
  self.critical.store(0, std::memory_order_release);  // as leave_critical
}

/// For code that may also run on threads that are none of the runtime's.
inline void enter_critical() noexcept {
  if (worker_head* self = worker_slot(); self != nullptr) enter_critical(*self);
}
inline void leave_critical() noexcept {
  if (worker_head* self = worker_slot(); self != nullptr) leave_critical(*self);
}

/// Whether the calling thread stands in one; never on threads that are none of the runtime's.
inline bool in_critical_section() noexcept {
  worker_head* self = worker_slot();
  return self != nullptr && self->critical.load(std::memory_order_relaxed) != 0;
}

/// A section for a block. Green threads are not switched inside.
class critical_section {
 public:
  explicit critical_section(worker_head& self) noexcept : self_(self) { enter_critical(self); }
  ~critical_section() { leave_critical(self_); }
  critical_section(const critical_section&) = delete;
  critical_section& operator=(const critical_section&) = delete;

 private:
  worker_head& self_;
};

}  // namespace rt::os
