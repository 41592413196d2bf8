// Whether this process can be known to have no threads but the runtime's.
#pragma once

#include "runtime/os/thread_census.h"

namespace rt_test {

/// To be asked on the test's main thread while no runtime runs. False under an emulator with threads of its own, and
/// without /proc: there no deadlock is ever reported.
inline bool threads_can_be_counted() {
  rt::os::own_thread counted;
  return rt::os::only_own_threads();
}

}  // namespace rt_test

#define RT_SKIP_UNLESS_THREADS_CAN_BE_COUNTED() \
  if (!rt_test::threads_can_be_counted()) GTEST_SKIP() << "the process has threads that the runtime does not know"
