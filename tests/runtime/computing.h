// Code that computes and calls nothing, for tests of what happens to it.
//
// Under ThreadSanitizer a look at an atomic variable is a call into the sanitizer, in whose code nothing is stopped
// (runtime/os/signal_entry.cpp). A loop of nothing but looks spends nine tenths of its time there, and on a busy
// machine it takes minutes until the signals have met all such loops outside of it.
#pragma once

#include <atomic>

namespace rt_test {

/// A thousand steps, some 0.3 us, in the caller's own code.
[[gnu::always_inline]] inline void compute_a_little() {
  for (int i = 0; i < 1000; ++i) asm volatile("" ::: "memory");
}

/// The same where a loop that is about something else would hardly leave the sanitizer; else nothing.
[[gnu::always_inline]] inline void leave_the_sanitizer() {
#if defined(__SANITIZE_THREAD__)
  compute_a_little();
#endif
}

/// Computes until `stop` is set.
inline void compute_until(const std::atomic<bool>& stop) {
  while (!stop.load(std::memory_order_relaxed)) leave_the_sanitizer();
}

}  // namespace rt_test
