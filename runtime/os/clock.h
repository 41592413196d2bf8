// Time: the steady clock in nanoseconds, and the processor's cycle counter for intervals that need no exactness.
#pragma once

#include <ctime>

#include <cstdint>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

namespace rt::os {

/// CLOCK_MONOTONIC in nanoseconds, as std::chrono::steady_clock. About 30 ns.
inline std::int64_t nanotime() noexcept {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}

/// The time of day in nanoseconds since 1970.
inline std::int64_t time_of_day() noexcept {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<std::int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}

/// CPU time that the calling thread has used, in nanoseconds. A system call, about 0.3 us.
inline std::int64_t thread_cpu_time() noexcept {
  timespec used;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
  return static_cast<std::int64_t>(used.tv_sec) * 1'000'000'000 + used.tv_nsec;
}

/// The cycle counter (TSC, CNTVCT). About 10 ns; not ordered with the instructions around it.
inline std::uint64_t cycles() noexcept {
#if defined(__x86_64__)
  return __rdtsc();
#else
  std::uint64_t value;
  asm volatile("mrs %0, cntvct_el0" : "=r"(value));
  return value;
#endif
}

/// Cycles a nanosecond, measured once at the first call by comparing both clocks over 2 ms.
double cycles_per_nanosecond() noexcept;

/// A hint to the core that this is a spin loop.
inline void cpu_pause() noexcept {
#if defined(__x86_64__)
  _mm_pause();
#else
  asm volatile("yield" ::: "memory");
#endif
}

}  // namespace rt::os
