#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <stdexcept>

#include "rt/rt.h"
#include "tests/runtime/in_runtime.h"
#include "tests/runtime/waiting.h"

namespace {

using namespace std::chrono_literals;
using rt_test::scaled;
RT_ON_PROCS(onces);

TEST_P(onces, run_once_and_all_wait_for_the_end) {
  run([] {
    for (int round = 0; round < scaled(300); ++round) {
      rt::once once;
      int runs = 0;
      rt::wait_group all;
      for (int i = 0; i < 8; ++i) {
        all.go([&] {
          once.call([&] {
            rt::yield();
            ++runs;
          });
          EXPECT_EQ(runs, 1);
          EXPECT_TRUE(once.is_called());
        });
      }
      all.wait();
      EXPECT_EQ(runs, 1);
    }
  });
}

TEST_P(onces, a_function_that_throws_has_run) {
  run([] {
    rt::once once;
    EXPECT_THROW(once.call([] { throw std::runtime_error("no"); }), std::runtime_error);
    once.call([] { ADD_FAILURE() << "it ran a second time"; });
    EXPECT_TRUE(once.is_called());
  });
}

TEST_P(onces, a_run_that_was_cancelled_does_not_count) {
  run([] {
    rt::once once;
    rt::chan<int> never;
    rt::scope scope;
    scope.go([&] { once.call([&] { never.recv(); }); });
    EXPECT_TRUE(rt_test::come_to_wait_in("chan receive"));
    int runs = 0;
    rt::wait_group all;
    for (int i = 0; i < 4; ++i) {
      all.go([&] { once.call([&] { ++runs; }); });
    }
    EXPECT_TRUE(rt_test::come_to_wait_in("once", 4));
    scope.cancel();
    all.wait();
    scope.wait();
    EXPECT_EQ(runs, 1);
  });
}

TEST_P(onces, who_waits_can_be_cancelled_alone) {
  run([] {
    rt::once once;
    rt::chan<int> finish;
    rt::wait_group all;
    all.go([&] { once.call([&] { finish.recv(); }); });
    EXPECT_TRUE(rt_test::come_to_wait_in("chan receive"));
    {
      rt::context_scope obey(rt::with_timeout(rt::background(), 1ms));
      EXPECT_THROW(once.call([] {}), rt::context_error);
    }
    finish.send(1);
    all.wait();
    once.call([] { ADD_FAILURE(); });
  });
}

TEST_P(onces, calling_itself_is_reported) {
  run([] {
    rt::once once;
    EXPECT_THROW(once.call([&] { once.call([] {}); }), rt::usage_error);
  });
}

TEST_P(onces, take_arguments_and_move_only_functions) {
  run([] {
    rt::once once;
    int sum = 0;
    once.call([owner = std::make_unique<int>(1), &sum](int a, std::unique_ptr<int> b) { sum = *owner + a + *b; }, 2,
              std::make_unique<int>(3));
    EXPECT_EQ(sum, 6);
  });
}

TEST_P(onces, once_function_throws_the_same_to_every_caller) {
  run([] {
    std::atomic<int> runs{0};
    auto function = rt::once_function([&] {
      ++runs;
      throw std::runtime_error("no " + std::to_string(runs));
    });
    auto copy = function;  // NOLINT(performance-unnecessary-copy-initialization): copies are what is looked at
    for (int i = 0; i < 3; ++i) {
      for (const auto& call : {function, copy}) {
        try {
          call();
          ADD_FAILURE();
        } catch (const std::runtime_error& error) {
          EXPECT_STREQ(error.what(), "no 1");
        }
      }
    }
    EXPECT_EQ(runs.load(), 1);
  });
}

TEST_P(onces, once_value_makes_one_value_and_lets_the_function_go) {
  run([] {
    auto captured = std::make_shared<int>(5);
    auto value = rt::once_value([captured] { return std::to_string(*captured); });
    EXPECT_EQ(captured.use_count(), 2);
    rt::wait_group all;
    std::atomic<const std::string*> first{nullptr};
    for (int i = 0; i < 8; ++i) {
      all.go([&] {
        const std::string& mine = value();
        EXPECT_EQ(mine, "5");
        const std::string* none = nullptr;
        if (!first.compare_exchange_strong(none, &mine)) {
          EXPECT_EQ(first.load(), &mine);
        }
      });
    }
    all.wait();
    EXPECT_EQ(captured.use_count(), 1);
  });
}

TEST(once_outside, works_without_a_runtime) {
  rt::once once;
  int runs = 0;
  once.call([&] { ++runs; });
  once.call([&] { ++runs; });
  EXPECT_EQ(runs, 1);
}

}  // namespace
