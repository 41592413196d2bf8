// The signal that interrupts threads of the runtime, and what an interrupted thread looks like.
#pragma once

#include <pthread.h>

#include <csignal>
#include <cstdint>

namespace rt::os {

/// SIGURG, as in Go: debuggers let it pass, the C library does not use it, and one too many does no harm.
inline constexpr int preempt_signal = SIGURG;

/// Installs `handler` for preempt_signal; it runs on the thread's alternate stack and restarts system calls. The
/// handler that was there before is returned by previous_preempt_handler(). False when the system refuses.
///
/// The kernel is asked directly: ThreadSanitizer would keep a handler of its own in front, which delays a signal until
/// the next call of the C library, and a loop without calls never gets there.
bool install_preempt_handler(void (*handler)(int, siginfo_t*, void*)) noexcept;
/// Puts back what install_preempt_handler found.
void remove_preempt_handler() noexcept;
/// Calls the handler that the program had installed for the signal, if any.
void call_previous_preempt_handler(int signal, siginfo_t* info, void* context) noexcept;

/// Sends it to one thread, which must exist.
void send_preempt_signal(pthread_t thread) noexcept;

/// Where a thread was interrupted.
struct interrupted_state {
  std::uintptr_t code = 0;   // program counter
  std::uintptr_t stack = 0;  // stack pointer
  std::uintptr_t frame = 0;  // frame pointer
};
interrupted_state state_of(const void* context) noexcept;
/// Where the kernel has saved all registers of the interrupted thread (vector registers too), among other things, as
/// long as the handler has not returned: [low, high), on the thread's alternate stack.
struct saved_registers {
  const void* low = nullptr;
  const void* high = nullptr;
};
saved_registers registers_of(const void* context) noexcept;

/// How often the calling thread has gone to sleep in the kernel by itself.
std::int64_t voluntary_sleeps() noexcept;

/// The CPU time in nanoseconds that a thread has used; `clock` is its CPU-time clock. -1 when it has ended.
std::int64_t thread_cpu_time(clockid_t clock) noexcept;

}  // namespace rt::os
