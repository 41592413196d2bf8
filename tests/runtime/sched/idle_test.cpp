#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <climits>

#include "rt/rt.h"
#include "tests/runtime/in_runtime.h"

namespace {

using namespace std::chrono_literals;

long voluntary_switches() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_nvcsw;
}

// With everybody parked, no thread of the runtime wakes: no polling, no monitor.
TEST(idle, means_no_wake_ups) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "ThreadSanitizer's own background thread wakes ten times a second";
#endif
  rt_test::in_runtime(2, [] {
    rt::chan<int> never;
    rt::scope scope;
    for (int i = 0; i < rt_test::scaled(10000); ++i) scope.go([&] { never.recv(); });
    rt::sleep_for(300ms);  // the monitor notices that all is quiet
    // The quietest of some seconds: on a busy machine it takes a while until everybody has come to rest.
    long fewest = LONG_MAX;
    for (int i = 0; i < 10 && fewest >= 8; ++i) {
      long before = voluntary_switches();
      rt::sleep_for(1s);
      fewest = std::min(fewest, voluntary_switches() - before);
    }
    EXPECT_LT(fewest, 8) << "the one timer costs a few, a poll each 100 ms or each 10 ms would cost more";
    scope.cancel();
    scope.wait();
  });
}

}  // namespace
