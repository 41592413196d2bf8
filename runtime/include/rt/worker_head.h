// What every kernel thread of the runtime (M) begins with, public because the allocation of an object is compiled into
// the caller: it counts a critical section in the M and takes memory from the M's processor (P).
//
// A C++ thread_local is not fit for this: the compiler may compute its address once in a function and use it again
// after the green thread has moved to another kernel thread (LLVM #98479, GCC PR 26461). The slot is therefore read and
// written by volatile assembly through the thread pointer: one load of the offset (which the linker turns into a
// constant in an executable) and one access; the compiler cannot keep the result across a switch, because the switch
// is volatile as well and clobbers memory.
//
// Why not the GS base: it faults on kernel threads that are none of ours (their base is zero), needs FSGSBASE, and
// measured 0.68 ns a read here against 0.36 ns for this.
//
// Plugin authors use none of this.
#pragma once

#include <atomic>
#include <cstdint>

extern "C" __attribute__((tls_model("initial-exec"))) __thread void* rt_worker_slot;

namespace rt::detail {

struct processor;

/// The P of an M. Others may take it away (sched/retake.cpp), so it is an atomic; what is read outside of a critical
/// section may be old. Relaxed: the section's protocol orders what is done with the P.
class proc_pointer {
 public:
  operator processor*() const noexcept { return value_.load(std::memory_order_relaxed); }
  processor* operator->() const noexcept { return *this; }
  proc_pointer& operator=(processor* p) noexcept {
    value_.store(p, std::memory_order_relaxed);
    return *this;
  }

 private:
  std::atomic<processor*> value_{nullptr};
};

}  // namespace rt::detail

namespace rt::os {

/// What an M begins with; sched's `worker` is one.
struct worker_head {
  /// Critical sections that it is in (os/critical_section.h).
  std::atomic<std::uint32_t> critical{0};
  /// Its P is being taken away, or it has none. Read first in each critical section of a green thread; the loop of the
  /// M, which is one critical section, needs not look.
  std::atomic<bool> lost_proc{false};
  detail::proc_pointer p;
};

/// The M of the calling kernel thread, null on threads that are none of the runtime's. Never stale after a switch.
inline worker_head* worker_slot() noexcept {
  void* value;
#if defined(__x86_64__)
  std::uint64_t offset;
  asm volatile(
      "movq rt_worker_slot@gottpoff(%%rip), %1\n\t"
      "movq %%fs:(%1), %0"
      : "=r"(value), "=&r"(offset)
      :
      : "memory");
#elif defined(__aarch64__)
  std::uint64_t offset;
  asm volatile(
      "mrs %1, tpidr_el0\n\t"
      "adrp %0, :gottprel:rt_worker_slot\n\t"
      "ldr %0, [%0, #:gottprel_lo12:rt_worker_slot]\n\t"
      "ldr %0, [%1, %0]"
      : "=&r"(value), "=&r"(offset)
      :
      : "memory");
#else
#error "rtd runs on x86-64 and aarch64"
#endif
  return static_cast<worker_head*>(value);
}

/// Begins a critical section of the calling M: it is neither frozen nor loses its P until leave_critical.
inline void enter_critical(worker_head& self) noexcept {
  self.critical.store(self.critical.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  // The compiler must not move what follows before the count. The processor may: whoever reads the count from outside
  // pays for the barrier (os/barrier.h).
  std::atomic_signal_fence(std::memory_order_seq_cst);
}

inline void leave_critical(worker_head& self) noexcept {
  std::atomic_signal_fence(std::memory_order_seq_cst);
  // Release: pairs with the monitor's load when it takes the P; it then sees all that was done to the P.
  self.critical.store(self.critical.load(std::memory_order_relaxed) - 1, std::memory_order_release);
}

}  // namespace rt::os
