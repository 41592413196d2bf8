#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <thread>

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

// A waiter that has run out of time leaves its bit in the counter: the next look may see the zero while the done() that
// made it is still under the lock. The sanitizers see what is used after its end.
TEST_P(wait_groups, may_be_destroyed_as_soon_as_a_wait_that_was_repeated_returns) {
  run([] {
    for (int i = 0; i < scaled(2000); ++i) {
      auto group = std::make_unique<rt::wait_group>();
      group->add(1);
      rt::go([raw = group.get(), i] {
        for (int k = 0; k < i % 50; ++k) rt::yield();
        raw->done();
      });
      while (!group->wait_for(std::chrono::nanoseconds(i % 7 * 100))) {
      }
      group.reset();
    }
  });
}

// From a thread that is none of the runtime's as well.
TEST_P(wait_groups, tell_of_zero_while_somebody_stands_under_the_lock) {
  run([] {
    for (int i = 0; i < scaled(300); ++i) {
      rt::wait_group group;
      group.add(1);
      std::atomic<int> through{0};
      rt::scope scope;
      for (int k = 0; k < 8; ++k) {
        scope.go([&] {
          while (!group.wait_for(10us)) {
          }
          ++through;
        });
      }
      scope.go([&] {
        for (int k = 0; k < i % 20; ++k) rt::yield();
        group.done();
      });
      rt::blocking([&] {
        while (through != 8) std::this_thread::yield();
        group.wait();
      });
      scope.wait();
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
