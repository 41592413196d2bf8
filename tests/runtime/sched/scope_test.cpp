#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>

#include "rt/rt.h"
#include "tests/runtime/in_runtime.h"

namespace {

using namespace std::chrono_literals;
RT_ON_PROCS(scopes);

TEST_P(scopes, wait_returns_when_all_have_ended) {
  run([] {
    std::atomic<int> ended{0};
    rt::scope scope;
    for (int i = 0; i < 50; ++i) {
      scope.go([&] {
        rt::sleep_for(1ms);
        ++ended;
      });
    }
    scope.wait();
    EXPECT_EQ(ended.load(), 50);
  });
}

TEST_P(scopes, the_first_failure_is_rethrown_and_cancels_the_others) {
  run([] {
    std::atomic<int> cancelled{0};
    rt::scope scope;
    for (int i = 0; i < 20; ++i) {
      scope.go([&] {
        try {
          rt::sleep_for(1h);
        } catch (const rt::cancelled&) {
          ++cancelled;
          throw;
        }
      });
    }
    scope.go([] { throw std::out_of_range("first"); });
    EXPECT_THROW(scope.wait(), std::out_of_range);
    EXPECT_LE(cancelled.load(), 20);
    scope.wait();  // the failure was taken
  });
}

TEST_P(scopes, leaving_a_scope_cancels_and_waits) {
  run([] {
    std::atomic<int> alive{0};
    {
      rt::scope scope;
      for (int i = 0; i < 10; ++i) {
        scope.go([&] {
          struct count {
            std::atomic<int>* of;
            explicit count(std::atomic<int>* one) : of(one) { ++*of; }
            ~count() { --*of; }
          } counted(&alive);
          rt::chan<int> never;
          never.recv();
        });
      }
      while (alive != 10) rt::yield();
    }
    EXPECT_EQ(alive.load(), 0);
  });
}

TEST_P(scopes, cancelling_the_outer_reaches_the_inner) {
  run([] {
    std::atomic<bool> inner_unwound{false};
    rt::chan<int> ready(1);
    rt::scope outer;
    outer.go([&] {
      rt::scope inner;
      inner.go([&] {
        struct note {
          std::atomic<bool>* flag;
          ~note() { *flag = true; }
        } at_end{&inner_unwound};
        ready.send(1);
        rt::sleep_for(1h);
      });
      inner.wait();
      ADD_FAILURE() << "wait returned although the scope was cancelled";
    });
    ready.recv();
    outer.cancel();
    EXPECT_NO_THROW(outer.wait());
    EXPECT_TRUE(inner_unwound);
  });
}

TEST_P(scopes, members_may_start_members) {
  run([] {
    std::atomic<int> ran{0};
    rt::scope scope;
    scope.go([&] {
      for (int i = 0; i < 10; ++i) scope.go([&] { ++ran; });
    });
    scope.wait();
    EXPECT_EQ(ran.load(), 10);
  });
}

TEST_P(scopes, short_lived_ones_in_great_number) {
  run([] {
    for (int i = 0; i < rt_test::scaled(5000); ++i) {
      rt::scope scope;
      int value = 0;
      scope.go([&] { value = i; });
      scope.wait();
      if (value != i) {
        ADD_FAILURE() << "scope " << i << " ended before its green thread";
        return;
      }
    }
  });
}

}  // namespace
