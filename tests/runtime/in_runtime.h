// Runs a test's body on a green thread, with 1, 2 and 8 Ps in turn.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>

#include "rt/runtime.h"
#include "rt/time.h"

namespace rt_test {

inline void in_runtime(int procs, const std::function<void()>& body) {
  rt::run_options options;
  options.max_procs = procs;
  SCOPED_TRACE("procs = " + std::to_string(procs));
  rt::run(
      [&] {
        body();
        return 0;
      },
      options);
}

/// One test for each number of Ps.
class on_procs : public testing::TestWithParam<int> {
 protected:
  void run(const std::function<void()>& body) { in_runtime(GetParam(), body); }
};

#define RT_ON_PROCS(suite)                                         \
  class suite : public rt_test::on_procs {};                       \
  INSTANTIATE_TEST_SUITE_P(procs, suite, testing::Values(1, 2, 8), \
                           [](const testing::TestParamInfo<int>& one) { return std::to_string(one.param); })

/// Waits on a green thread until `condition` holds, for at most 30 s: what is to happen soon takes as long as it takes
/// on a busy machine. Returns whether it came to hold.
template <class Condition>
bool eventually(const Condition& condition) {
  const rt::time_point until = rt::now() + std::chrono::seconds(30);
  while (!condition()) {
    if (rt::now() > until) return false;
    rt::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

/// Whether collections come at any time, because RT_DEBUG has gcstress.
inline bool is_stressed() {
  const char* options = std::getenv("RT_DEBUG");
  return options != nullptr && std::strstr(options, "gcstress=") != nullptr;
}

/// Divides work where it is slower by an order of magnitude.
inline int scaled(int count) {
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__) || !defined(__OPTIMIZE__) || defined(__aarch64__)
  constexpr bool slow = true;
#else
  constexpr bool slow = false;
#endif
  if (!slow && !is_stressed()) return count;
  return count / 10 < 1 ? 1 : count / 10;
}

}  // namespace rt_test
