// RT_DEBUG=sched=random:SEED: everything holds in a shuffled run, on any number of Ps.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <set>
#include <string>
#include <vector>

#include "rt/rt.h"
#include "tests/runtime/in_runtime.h"

namespace {

using namespace std::chrono_literals;
using rt_test::scaled;

class shuffled : public rt_test::on_procs {
 protected:
  void SetUp() override { ASSERT_EQ(unsetenv("RT_DEBUG"), 0); }
  void TearDown() override { ASSERT_EQ(unsetenv("RT_DEBUG"), 0); }
  static void shuffle(int seed) {
    std::string text = "sched=random:" + std::to_string(seed);
    ASSERT_EQ(setenv("RT_DEBUG", text.c_str(), 1), 0);
  }
};
INSTANTIATE_TEST_SUITE_P(procs, shuffled, testing::Values(1, 2, 8),
                         [](const testing::TestParamInfo<int>& one) { return std::to_string(one.param); });

TEST_P(shuffled, nothing_is_lost) {
  for (int seed = 1; seed <= 5; ++seed) {
    SCOPED_TRACE("seed = " + std::to_string(seed));
    shuffle(seed);
    run([] {
      rt::chan<int> numbers(4);
      std::atomic<long> sum{0};
      rt::wait_group senders;
      rt::wait_group receivers;
      const int each = scaled(500);
      for (int g = 0; g < 300; ++g) {  // more than a ring holds
        senders.go([&, each] {
          for (int i = 0; i < each / 10 + 1; ++i) numbers.send(1);
        });
      }
      for (int g = 0; g < 4; ++g) {
        receivers.go([&] {
          for (int one : numbers) sum += one;
        });
      }
      senders.wait();
      numbers.close();
      receivers.wait();
      EXPECT_EQ(sum.load(), 300L * (each / 10 + 1));
      EXPECT_TRUE(rt_test::eventually([] { return rt::num_green_threads() == 1; }));
    });
  }
}

TEST_P(shuffled, timers_blocking_and_procs_go_on) {
  shuffle(GetParam());
  run([] {
    rt::wait_group group;
    std::atomic<int> done{0};
    for (int g = 0; g < 20; ++g) {
      group.go([&, g] {
        rt::sleep_for(std::chrono::microseconds(50 * g));
        rt::blocking([] {});
        ++done;
      });
    }
    rt::max_procs(3);
    group.wait();
    rt::max_procs(1);
    EXPECT_EQ(done.load(), 20);
    rt::scope scope;
    for (int g = 0; g < 20; ++g) scope.go([] { rt::sleep_for(1h); });
    scope.cancel();
    scope.wait();
  });
}

// On one P the order of green threads that are ready at once follows the seed alone.
TEST(shuffled_order, follows_the_seed) {
  std::set<std::vector<int>> orders;
  for (int seed = 1; seed <= 20; ++seed) {
    std::string text = "sched=random:" + std::to_string(seed);
    ASSERT_EQ(setenv("RT_DEBUG", text.c_str(), 1), 0);
    // One P excludes nobody: it is taken from one whose thread is off its CPU, and that one then runs beside the next.
    std::vector<int> order(10);
    std::atomic<std::size_t> place{0};
    rt_test::in_runtime(1, [&] {
      rt::wait_group group;
      for (int i = 0; i < 10; ++i) group.go([&, i] { order[place++] = i; });
      group.wait();
    });
    orders.insert(order);
  }
  ASSERT_EQ(unsetenv("RT_DEBUG"), 0);
  EXPECT_GE(orders.size(), 19U);
}

TEST(shuffled_order, an_unknown_option_is_named_and_changes_nothing) {
  ASSERT_EQ(setenv("RT_DEBUG", "sched=rnadom", 1), 0);
  testing::internal::CaptureStderr();
  rt_test::in_runtime(1, [] {});
  std::string said = testing::internal::GetCapturedStderr();
  ASSERT_EQ(unsetenv("RT_DEBUG"), 0);
  EXPECT_THAT(said, testing::HasSubstr("sched=rnadom"));
}

}  // namespace
