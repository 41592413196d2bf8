// Kernel threads of the runtime.
#pragma once

#include <pthread.h>

#include <cstddef>
#include <cstdint>
#include <ctime>

namespace rt::os {

/// Starts a thread with a stack of 256 KiB and all asynchronous signals blocked (the program's own threads handle
/// those). False when the system refuses.
bool start_thread(pthread_t& thread, void* (*main)(void*), void* argument) noexcept;
/// Waits for its end, at most `timeout` ns.
bool join_thread(pthread_t thread, std::int64_t timeout) noexcept;

/// For the calling thread: its name in /proc and a timer slack of 1 ns, so that short sleeps are not lengthened by 50
/// us.
void prepare_worker_thread(const char* name) noexcept;

/// Whether the thread of this process that has this CPU clock runs, or waits for a CPU: by what /proc tells of it.
/// False when that tells nothing.
bool is_runnable(clockid_t cpu_clock) noexcept;

struct thread_stack {
  void* low;
  std::size_t size;
};
/// The calling thread's own stack.
thread_stack current_thread_stack() noexcept;

/// Gives the calling thread an alternate signal stack with a guard, so that a fault handler runs even when a green
/// thread's stack has overflowed. Returns what remove_signal_stack wants; null when the system refused.
void* install_signal_stack() noexcept;
void remove_signal_stack(void* stack) noexcept;

}  // namespace rt::os
