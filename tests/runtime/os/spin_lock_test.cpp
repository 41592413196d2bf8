#include "runtime/os/spin_lock.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "tests/runtime/death_tests.h"

namespace {

using rt::os::lock_rank;
using rt::os::spin_guard;
using rt::os::spin_lock;

TEST(spin_lock, excludes) {
  spin_lock lock(lock_rank::channel);
  long count = 0;
  std::vector<std::thread> threads;
  constexpr int rounds = 20000;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < rounds; ++i) {
        spin_guard guard(lock);
        ++count;
      }
    });
  }
  for (std::thread& one : threads) one.join();
  EXPECT_EQ(count, 4L * rounds);
}

TEST(spin_lock, try_lock_fails_on_a_held_one) {
  spin_lock lock(lock_rank::channel);
  ASSERT_TRUE(lock.try_lock());
  EXPECT_TRUE(lock.is_locked());
  std::thread([&] { EXPECT_FALSE(lock.try_lock()); }).join();
  lock.unlock();
  EXPECT_FALSE(lock.is_locked());
}

TEST(spin_lock, waits_are_counted) {
  const std::uint64_t before = rt::os::lock_wait_cycles();
  spin_lock lock(lock_rank::channel);
  for (int i = 0; i < 100; ++i) spin_guard guard(lock);
  EXPECT_EQ(rt::os::lock_wait_cycles(), before) << "nobody has waited";
  std::atomic<std::uint32_t> word{0};
  for (int i = 0; i < 8; ++i) {  // one wait in eight is measured
    rt::os::lock_word_slow(word);
    word = 0;
  }
  EXPECT_GT(rt::os::lock_wait_cycles(), before);
}

#if RT_DEBUG_CHECKS
TEST(spin_lock_death, a_lower_rank_under_a_higher_one_is_reported) {
  rt_test::prepare_death_test();
  EXPECT_DEATH(
      {
        spin_lock high(lock_rank::scheduler);
        spin_lock low(lock_rank::channel);
        spin_guard one(high);
        spin_guard two(low);
      },
      "a lock of rank 2 was taken while one of rank");
}

TEST(spin_lock_death, unlocking_by_a_stranger_is_reported) {
  rt_test::prepare_death_test();
  EXPECT_DEATH(
      {
        spin_lock lock(lock_rank::channel);
        lock.lock();
        std::thread([&] { lock.unlock(); }).join();
      },
      "unlocked by a thread that does not hold it");
}
#endif

}  // namespace
