// What the tests of the conformance list share. Each test bears the number of the behaviour that it shows; the table in
// docs/conformance.md says for every number what holds and which tests show it.
#pragma once

#include <malloc.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string_view>
#include <vector>

#include "rt/rt.h"
#include "tests/runtime/in_runtime.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
// GCC has no header for it.
extern "C" std::size_t __sanitizer_get_current_allocated_bytes();  // NOLINT(bugprone-reserved-identifier)
#endif

namespace conformance {

using rt_test::eventually;
using rt_test::scaled;

/// A seed for the random choices of a test: RT_TEST_SEED, or a new one. It is printed, so that a failure can be
/// repeated.
inline unsigned printed_seed() {
  const char* text = std::getenv("RT_TEST_SEED");
  unsigned seed = text != nullptr ? static_cast<unsigned>(std::strtoul(text, nullptr, 10)) : std::random_device{}();
  std::printf("RT_TEST_SEED=%u\n", seed);
  return seed;
}

inline rt::go_options named(const char* name) {
  rt::go_options options;
  options.name = name;
  return options;
}

/// How many green threads called `name` are in `state`, as a dump shows it.
inline std::size_t count_in_state(std::string_view name, std::string_view state) {
  std::vector<rt::green_thread_info> all = rt::all_green_threads();
  return static_cast<std::size_t>(std::count_if(all.begin(), all.end(), [&](const rt::green_thread_info& one) {
    return one.name == name && one.state == state;
  }));
}

/// Waits until `count` green threads called `name` are in `state`: whether it came to that.
inline bool come_to_wait(std::string_view name, std::string_view state, std::size_t count = 1) {
  return eventually([&] { return count_in_state(name, state) == count; });
}

/// Bytes that malloc has given out.
inline std::size_t allocated_bytes() {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return __sanitizer_get_current_allocated_bytes();
#else
  struct mallinfo2 figures = mallinfo2();
  return figures.uordblks + figures.hblkhd;
#endif
}

/// Waits for another green thread that is about to make `condition` true. Where it lost its CPU to somebody else on the
/// machine, the CPU of the caller is given to it.
template <class Condition>
void spin_until(const Condition& condition) {
  for (int turns = 1; !condition(); ++turns) {
    rt::yield();
    if (turns % 64 == 0) sched_yield();
  }
}

/// Runs `attempt` on a green thread of its own against `interfere` on the caller's, `rounds` times, each time after
/// `prepare`; both begin as nearly at once as can be had.
template <class Prepare, class Attempt, class Interfere>
void race(int rounds, const Prepare& prepare, const Attempt& attempt, const Interfere& interfere) {
  std::atomic<int> begun{0};
  std::atomic<int> ended{0};
  rt::scope scope;
  scope.go([&] {
    for (int round = 1; round <= rounds; ++round) {
      spin_until([&] { return begun >= round; });
      attempt(round);
      ended = round;
    }
  });
  for (int round = 1; round <= rounds; ++round) {
    prepare(round);
    begun = round;
    interfere(round);
    spin_until([&] { return ended >= round; });
  }
  scope.wait();
}

}  // namespace conformance
