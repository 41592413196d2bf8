#include <gtest/gtest.h>

#include <atomic>
#include <memory>

#include "rt/rt.h"
#include "tests/runtime/death_tests.h"
#include "tests/runtime/in_runtime.h"

namespace {

using namespace std::chrono_literals;
using rt_test::scaled;
RT_ON_PROCS(wait_groups);

TEST_P(wait_groups, wait_for_all_and_can_be_reused) {
  run([] {
    rt::wait_group group;
    group.wait();
    for (int round = 0; round < 20; ++round) {
      std::atomic<int> done{0};
      for (int i = 0; i < 50; ++i) {
        group.go([&] {
          rt::yield();
          ++done;
        });
      }
      group.wait();
      EXPECT_EQ(done.load(), 50);
    }
  });
}

TEST_P(wait_groups, several_waiters) {
  run([] {
    rt::wait_group gate;
    gate.add(2);
    rt::wait_group waiters;
    std::atomic<int> through{0};
    for (int i = 0; i < 10; ++i) {
      waiters.go([&] {
        gate.wait();
        ++through;
      });
    }
    rt::sleep_for(1ms);
    gate.done();
    rt::sleep_for(1ms);
    EXPECT_EQ(through.load(), 0);
    gate.done();
    waiters.wait();
    EXPECT_EQ(through.load(), 10);
  });
}

TEST_P(wait_groups, deadline) {
  run([] {
    rt::wait_group group;
    group.add();
    EXPECT_FALSE(group.wait_for(2ms));
    group.done();
    EXPECT_TRUE(group.wait_for(2ms));
  });
}

TEST_P(wait_groups, go_counts_an_exception_out) {
  run([] {
    rt::scope scope;
    rt::wait_group group;
    scope.go([&] {
      group.go([] { throw rt::cancelled(); });
      group.wait();
    });
    scope.wait();
  });
}

TEST_P(wait_groups, may_be_destroyed_as_soon_as_wait_returns) {
  run([] {
    for (int i = 0; i < scaled(5000); ++i) {
      auto group = std::make_unique<rt::wait_group>();
      group->add(2);
      for (int j = 0; j < 2; ++j) rt::go([raw = group.get()] { raw->done(); });
      group->wait();
      group.reset();
    }
  });
}

TEST(wait_group_death, a_negative_counter_is_reported) {
  rt_test::prepare_death_test();
  EXPECT_DEATH(
      {
        rt::wait_group group;
        group.done();
      },
      "rt::wait_group: the counter became negative");
}

}  // namespace
