// How often the kernel has taken a CPU from this process, for bounds that hold but for that.
#pragma once

#include <sys/resource.h>

#include <cstdint>

namespace rt_test {

inline long interruptions() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_nivcsw;
}

/// What each interruption since `before`, and one that a hypervisor hides, may add to a wait on one P: while a thread
/// is off its CPU, the turn of what it runs goes on, and the others get as much time afterwards, at most a slice
/// (runtime/sched/turns.h). 10 ms in decisions of 2.5 ns.
inline std::uint64_t decisions_of_interruptions(long before) {
  return 4'000'000 * static_cast<std::uint64_t>(interruptions() - before + 1);
}

}  // namespace rt_test
