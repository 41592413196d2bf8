// The context switch.
//
// switch_context() is inline assembly that declares every register as overwritten, so the compiler saves just what is
// live at the place of the switch (usually two or three values) instead of all callee-saved registers. It leaves the
// old flow by storing its stack pointer and the address behind the switch, and enters the new one by an indirect jump,
// which the branch predictor handles better than a `ret` with a foreign return address. A bare switch takes a fifth of
// the time of Boost.Context's (1.5 against 7.7 ns one way, on the machine of docs/performance.md).
//
// Not saved: MXCSR, the x87 control word and FPCR. The psABI calls them callee-saved, but a green thread that changes
// its rounding mode must set it back before it parks; saving them would cost as much as the whole switch.
//
// After the switch returns, the caller may be on another kernel thread: nothing read from the M before is valid.
#pragma once

#include <cstdint>

#include "runtime/context/sanitizer.h"

namespace rt::detail {

/// A flow of control that is not running: where its stack ends and where it goes on.
struct context {
  void* stack_pointer = nullptr;
  void* resume_at = nullptr;
  sanitizer_state sanitizer;
};

extern "C" void rt_context_start();  // context.cpp: clears the frame pointer and calls the entry

/// Prepares `fresh` so that the first switch to it calls rt_context_entry() on a stack that grows down from `top`.
inline void prepare_context(context& fresh, void* top) noexcept {
  auto aligned = reinterpret_cast<std::uintptr_t>(top) & ~std::uintptr_t{15};
  fresh.stack_pointer = reinterpret_cast<void*>(aligned);
  fresh.resume_at = reinterpret_cast<void*>(&rt_context_start);
}

/// Whether the context was prepared and has never run.
inline bool is_fresh(const context& one) noexcept {
  return one.resume_at == reinterpret_cast<void*>(&rt_context_start);
}

/// What the first switch to a context calls; defined by the scheduler. Never returns.
extern "C" [[noreturn]] void rt_context_entry();

#if defined(__x86_64__)

inline __attribute__((always_inline)) void raw_switch(context* from, const context* to) noexcept {
  // The runtime is compiled without red zone, so the push does not overwrite anything. rbp cannot be declared as
  // overwritten where it is the frame pointer; it travels on the stack. DF is clear at every call by the psABI.
  asm volatile(
      "pushq %%rbp\n\t"
      "leaq 1f(%%rip), %%rax\n\t"
      "movq %%rsp, 0(%[from])\n\t"
      "movq %%rax, 8(%[from])\n\t"
      "movq 0(%[to]), %%rsp\n\t"
      "jmpq *8(%[to])\n\t"
      ".p2align 4\n"
      "1:\n\t"
      "popq %%rbp\n\t"
      : [from] "+D"(from), [to] "+S"(to)
      :
      : "rax", "rbx", "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory", "cc", "xmm0",
        "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13",
        "xmm14", "xmm15");
}

#elif defined(__aarch64__)

inline __attribute__((always_inline)) void raw_switch(context* from, const context* to) noexcept {
  register context* from_register asm("x0") = from;
  register const context* to_register asm("x1") = to;
  asm volatile(
      "stp x29, x30, [sp, #-16]!\n\t"
      "adr x9, 1f\n\t"
      "mov x10, sp\n\t"
      "stp x10, x9, [x0]\n\t"
      "ldp x10, x9, [x1]\n\t"
      "mov sp, x10\n\t"
      "br x9\n\t"
      ".p2align 4\n"
      "1:\n\t"
      "ldp x29, x30, [sp], #16\n\t"
      : "+r"(from_register), "+r"(to_register)
      :
      : "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15", "x16", "x17", "x18",
        "x19", "x20", "x21", "x22", "x23", "x24", "x25", "x26", "x27", "x28", "memory", "cc", "v0", "v1", "v2", "v3",
        "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12", "v13", "v14", "v15", "v16", "v17", "v18", "v19", "v20",
        "v21", "v22", "v23", "v24", "v25", "v26", "v27", "v28", "v29", "v30", "v31");
}

#endif

/// Leaves the running flow, which is saved in `from`, and goes on with `to`. Returns when somebody switches back to
/// `from`, perhaps on another kernel thread. `last` says that `from` will never be switched to again.
#if defined(RT_THREAD_SANITIZER)
__attribute__((no_sanitize("thread")))
#endif
inline __attribute__((always_inline)) void
switch_context(context& from, context& to, [[maybe_unused]] bool last = false) noexcept {
#if defined(RT_ADDRESS_SANITIZER)
  __sanitizer_start_switch_fiber(last ? nullptr : &from.sanitizer.fake_stack, to.sanitizer.stack_low,
                                 to.sanitizer.stack_size);
#endif
#if defined(RT_THREAD_SANITIZER)
  __tsan_switch_to_fiber(to.sanitizer.fiber, 0);
#endif
  raw_switch(&from, &to);
#if defined(RT_ADDRESS_SANITIZER)
  __sanitizer_finish_switch_fiber(from.sanitizer.fake_stack, nullptr, nullptr);
#endif
}

/// The first thing that a fresh flow does.
inline void entered_fresh_context() noexcept {
#if defined(RT_ADDRESS_SANITIZER)
  __sanitizer_finish_switch_fiber(nullptr, nullptr, nullptr);
#endif
}

}  // namespace rt::detail
