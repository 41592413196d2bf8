// Behaviours 68 to 70: contexts.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "rt/rt.h"
#include "tests/conformance/conformance.h"

namespace {

using namespace std::chrono_literals;
using namespace conformance;
RT_ON_PROCS(conformance_contexts);

std::string text_of(const std::exception_ptr& error) {
  try {
    if (error != nullptr) std::rethrow_exception(error);
  } catch (const std::exception& known) {
    return known.what();
  }
  return "";
}

// A tree of three children each, four levels deep; every context has a green thread that waits with it.
TEST_P(conformance_contexts, b068_a_cancel_reaches_all_below_and_nothing_above) {
  run([] {
    constexpr std::size_t levels = 4;
    std::vector<rt::cancellable_context> all{rt::with_cancel(rt::background())};
    std::vector<std::size_t> parent{0};
    for (std::size_t first = 0, level = 1; level < levels; ++level) {
      const std::size_t end = all.size();
      for (; first < end; ++first) {
        for (int child = 0; child < 3; ++child) {
          all.push_back(rt::with_cancel(all[first]));
          parent.push_back(first);
        }
      }
    }
    const std::size_t cancelled = 2;  // one below the root
    auto is_below = [&](std::size_t one) {
      while (one != 0 && one != cancelled) one = parent[one];
      return one == cancelled;
    };
    std::size_t below = 0;
    for (std::size_t i = 0; i < all.size(); ++i) below += is_below(i) ? 1 : 0;
    std::atomic<std::size_t> ended{0};
    rt::scope scope;
    for (std::size_t i = 0; i < all.size(); ++i) {
      scope.go(named("waiter"), [&, i] {
        rt::chan<int> never;
        try {
          never.recv(all[i]);
        } catch (const rt::context_error& error) {
          EXPECT_TRUE(is_below(i) || all[0].ended());
          EXPECT_EQ(error.code(), std::make_error_code(std::errc::operation_canceled));
          ++ended;
        }
      });
    }
    ASSERT_TRUE(come_to_wait("waiter", "chan receive", all.size()));
    all[cancelled].cancel();
    EXPECT_TRUE(eventually([&] { return ended == below; }));
    for (std::size_t i = 0; i < all.size(); ++i) EXPECT_EQ(all[i].ended(), is_below(i)) << i;
    all[0].cancel();
    scope.wait();
    EXPECT_EQ(ended, all.size());
  });
}

TEST_P(conformance_contexts, b068_a_child_that_ended_is_not_kept_by_its_parent) {
  run([] {
    rt::cancellable_context parent = rt::with_cancel(rt::background());
    auto make_and_end = [&](int count) {
      for (int i = 0; i < count; ++i) {
        rt::cancellable_context cancelled = rt::with_cancel(parent);
        cancelled.cancel();
        rt::cancellable_context dropped = rt::with_timeout(parent, 1h);
        rt::context over = rt::with_deadline(parent, rt::now() - 1s);
        EXPECT_TRUE(over.ended());
      }
    };
    make_and_end(100);
    const std::size_t before = allocated_bytes();
    make_and_end(scaled(10'000));
    EXPECT_LT(allocated_bytes(), before + 100'000);
    EXPECT_FALSE(parent.ended());
    EXPECT_LE(rt::read_stats().timers, 1U) << "deadlines of dropped contexts";
    parent.cancel();
  });
}

TEST_P(conformance_contexts, b069_the_earliest_deadline_wins_and_ends_those_below) {
  run([] {
    const rt::time_point soon = rt::now() + 10ms;
    rt::cancellable_context outer = rt::with_deadline(rt::background(), soon);
    rt::cancellable_context later = rt::with_deadline(outer, soon + 1h);
    rt::cancellable_context below = rt::with_cancel(later);
    rt::cancellable_context sooner = rt::with_deadline(rt::with_timeout(rt::background(), 1h), soon);
    EXPECT_EQ(later.deadline(), soon);
    EXPECT_EQ(below.deadline(), soon);
    EXPECT_EQ(sooner.deadline(), soon);
    EXPECT_EQ(rt::background().deadline(), std::nullopt);
    rt::chan<int> never;
    try {
      never.recv(below);
      ADD_FAILURE() << "it received";
    } catch (const rt::context_error& error) {
      EXPECT_EQ(error.code(), std::make_error_code(std::errc::timed_out));
    }
    EXPECT_GE(rt::now(), soon);
    EXPECT_TRUE(eventually([&] { return outer.ended() && later.ended() && sooner.ended(); }));
    EXPECT_EQ(outer.error(), std::make_error_code(std::errc::timed_out));
  });
}

TEST_P(conformance_contexts, b069_the_cause_is_that_of_the_first_cancel) {
  run([] {
    rt::cancellable_context top = rt::with_cancel(rt::background());
    rt::cancellable_context middle = rt::with_cancel(top);
    rt::cancellable_context bottom = rt::with_cancel(middle);
    EXPECT_EQ(bottom.cause(), nullptr);
    middle.cancel(std::make_exception_ptr(std::runtime_error("first")));
    middle.cancel(std::make_exception_ptr(std::runtime_error("second")));
    top.cancel(std::make_exception_ptr(std::runtime_error("third")));
    EXPECT_EQ(text_of(bottom.cause()), "first");
    EXPECT_EQ(text_of(middle.cause()), "first");
    EXPECT_EQ(text_of(top.cause()), "third");
    try {
      bottom.throw_if_ended();
      ADD_FAILURE() << "it has ended";
    } catch (const rt::context_error& error) {
      EXPECT_EQ(text_of(error.cause()), "first");
    }
  });
}

TEST_P(conformance_contexts, b069_without_cancel_keeps_values_and_nothing_else) {
  run([] {
    static const rt::context_key<std::string> key;
    rt::cancellable_context ends = rt::with_timeout(rt::with_value(rt::background(), key, std::string("kept")), 1h);
    rt::context severed = rt::without_cancel(ends);
    EXPECT_EQ(severed.deadline(), std::nullopt);
    ends.cancel(std::make_exception_ptr(std::runtime_error("gone")));
    EXPECT_TRUE(ends.ended());
    EXPECT_FALSE(severed.ended());
    EXPECT_EQ(severed.cause(), nullptr);
    ASSERT_NE(severed.value(key), nullptr);
    EXPECT_EQ(*severed.value(key), "kept");
    rt::cancellable_context below = rt::with_cancel(severed);
    EXPECT_FALSE(below.ended());
    below.cancel();
    EXPECT_FALSE(severed.ended());
  });
}

TEST_P(conformance_contexts, b069_after_func_runs_once_by_itself_and_not_after_stop) {
  run([] {
    const std::uint64_t caller = rt::green_thread_id();
    for (int round = 0; round < scaled(300); ++round) {
      rt::cancellable_context within = rt::with_cancel(rt::background());
      std::atomic<int> ran{0};
      std::atomic<std::uint64_t> runner{0};
      rt::chan<int> gate;
      auto first = rt::after_func(within, [&ran, &runner, gate] {
        gate.recv();  // cancel() does not wait for it
        runner = rt::green_thread_id();
        ++ran;
      });
      auto stopped = rt::after_func(within, [&ran] { ran += 100; });
      EXPECT_TRUE(stopped.stop());
      EXPECT_FALSE(stopped.stop());
      EXPECT_EQ(ran, 0);
      within.cancel();
      within.cancel();
      EXPECT_EQ(ran, 0);
      gate.close();
      ASSERT_TRUE(eventually([&] { return ran == 1; }));
      EXPECT_NE(runner, caller);
      EXPECT_FALSE(first.stop());
      auto at_once = rt::after_func(within, [&ran] { ++ran; });
      ASSERT_TRUE(eventually([&] { return ran == 2; }));
      EXPECT_FALSE(at_once.stop());
    }
  });
}

// Stopping races with ending: the function runs if and only if stop() says that it was too late.
TEST_P(conformance_contexts, b069_stopping_an_after_func_says_truly_whether_it_was_in_time) {
  run([] {
    rt::cancellable_context within;
    std::unique_ptr<rt::after_func_handle> handle;
    std::atomic<int> ran{0};
    std::atomic<int> expected{0};
    race(
        scaled(5000),
        [&](int) {
          within = rt::with_cancel(rt::background());
          handle = std::make_unique<rt::after_func_handle>(rt::after_func(within, [&ran] { ++ran; }));
        },
        [&](int) { within.cancel(); }, [&](int) { expected += handle->stop() ? 0 : 1; });
    EXPECT_TRUE(eventually([&] { return ran >= expected; }));
    rt::sleep_for(2ms);
    EXPECT_EQ(ran, expected);
  });
}

// There are no contexts of a user's own make, so none needs a green thread that watches it.
TEST_P(conformance_contexts, b070_contexts_cost_no_green_threads) {
  run([] {
    static const rt::context_key<int> key;
    const std::uint64_t created = rt::read_stats().created_total;
    std::vector<rt::cancellable_context> all;
    rt::context parent = rt::with_cancel(rt::background());
    for (int i = 0; i < 1000; ++i) {
      all.push_back(rt::with_timeout(rt::with_value(parent, key, int{i}), 1h));
      if (i % 10 == 0) parent = all.back();
      EXPECT_FALSE(all.back().done() == rt::chan<rt::context_ended>(nullptr));
    }
    all.front().cancel();
    EXPECT_TRUE(all.back().ended());
    EXPECT_EQ(rt::read_stats().created_total, created);
  });
}

}  // namespace
