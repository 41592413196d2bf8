// How a death test starts the process that is to die.
#pragma once

#include <gtest/gtest.h>

namespace rt_test {

/// To be called first in a death test. The program is started anew, since a fork of one with threads may deadlock;
/// where an emulator runs it, the kernel could not start it, so there it is forked before it has any thread.
inline void prepare_death_test() {
#if defined(__aarch64__)
  testing::GTEST_FLAG(death_test_style) = "fast";
#else
  testing::GTEST_FLAG(death_test_style) = "threadsafe";
#endif
}

}  // namespace rt_test
