#include "runtime/os/thread.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "runtime/os/clock.h"

namespace {

TEST(thread_state, tells_who_sleeps_from_who_runs) {
  int gate[2];
  ASSERT_EQ(pipe(gate), 0);
  std::atomic<bool> reads{false};
  clockid_t its_clock = 0;
  std::thread other([&] {
    pthread_getcpuclockid(pthread_self(), &its_clock);
    reads = true;
    char byte;
    EXPECT_EQ(read(gate[0], &byte, 1), 1);
  });
  auto comes_to_rest = [&] {
    const std::int64_t until = rt::os::nanotime() + 30'000'000'000;
    while (rt::os::is_runnable(its_clock) && rt::os::nanotime() < until) std::this_thread::yield();
    return !rt::os::is_runnable(its_clock);
  };
  while (!reads) std::this_thread::yield();
  EXPECT_TRUE(comes_to_rest());
  clockid_t own_clock = 0;
  pthread_getcpuclockid(pthread_self(), &own_clock);
  EXPECT_TRUE(rt::os::is_runnable(own_clock));
  EXPECT_EQ(write(gate[1], "x", 1), 1);
  other.join();
  // The kernel lets go of a thread a moment after it was joined, and an emulator of processors a little later.
  EXPECT_TRUE(comes_to_rest()) << "it has ended";
  close(gate[0]);
  close(gate[1]);
}

}  // namespace
