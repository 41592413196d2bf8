// Timers by virtual time, where each moment is exact.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "rt/rt.h"
#include "rt/test.h"

namespace {

using namespace std::chrono_literals;
using rt::test::bubble;

rt::duration since_start() { return rt::now() - rt::test::start; }

TEST(virtual_timers, functions_run_in_the_order_of_their_deadlines) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    std::vector<int> order;
    bubble({.seed = seed}, [&] {
      std::mt19937 random(static_cast<unsigned>(seed));
      std::vector<int> lengths(100);
      for (int i = 0; i < 100; ++i) lengths[static_cast<std::size_t>(i)] = i;
      std::shuffle(lengths.begin(), lengths.end(), random);
      for (int length : lengths) {
        rt::timer(std::chrono::nanoseconds(length), [&order, length] {
          EXPECT_EQ(since_start(), std::chrono::nanoseconds(length));
          order.push_back(length);
        });
      }
      rt::sleep_for(1s);
    });
    EXPECT_EQ(order.size(), 100U);
    EXPECT_TRUE(std::is_sorted(order.begin(), order.end())) << "seed " << seed;
  }
}

TEST(virtual_timers, a_slow_receiver_of_ticks_gets_one_and_then_those_to_come) {
  bubble([] {
    rt::ticker ticker(10ms);
    rt::sleep_for(55ms);
    EXPECT_EQ(*ticker.channel().recv(), rt::test::start + 10ms) << "the first that nobody took";
    EXPECT_EQ(*ticker.channel().recv(), rt::test::start + 60ms);
    ticker.reset(7ms);
    for (int i = 1; i <= 10; ++i) EXPECT_EQ(*ticker.channel().recv(), rt::test::start + 60ms + i * 7ms);
    rt::sleep_for(7ms);
    ticker.reset(1ms);
    EXPECT_EQ(*ticker.channel().recv(), rt::test::start + 138ms) << "the tick that was there is not received";
    ticker.stop();
    EXPECT_EQ(ticker.channel().recv_for(1h), std::nullopt);
  });
}

TEST(virtual_timers, the_end_of_time_is_not_overrun) {
  bubble([] {
    rt::duration nearly = rt::duration::max() - rt::test::start.time_since_epoch() - 10ns;
    rt::ticker ticker(nearly / 3);
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(ticker.channel().recv().has_value());
    EXPECT_EQ(since_start(), nearly / 3 * 3);
    EXPECT_EQ(ticker.channel().recv_for(1ns), std::nullopt) << "the next one is beyond the end";
    rt::timer timer(rt::duration::max());
    EXPECT_EQ(timer.channel().recv_for(1ns), std::nullopt);
    EXPECT_TRUE(timer.stop());
    ticker.stop();
  });
}

// Each wakes within what it allows, and together they wake a few times instead of once each.
TEST(virtual_timers, sleepers_with_slack_wake_together) {
  bubble([] {
    constexpr auto allowed = 10ms;
    std::set<rt::time_point> moments;
    rt::wait_group group;
    std::mt19937 random(3);
    for (int i = 0; i < 1000; ++i) {
      auto length = std::chrono::microseconds(1 + random() % 100'000);
      group.go([&moments, length, allowed] {
        rt::sleep_for(length, rt::slack(allowed));
        EXPECT_GE(since_start(), length);
        EXPECT_LE(since_start(), length + allowed);
        moments.insert(rt::now());
      });
    }
    group.wait();
    EXPECT_LE(moments.size(), 27U);
    EXPECT_GE(moments.size(), 10U) << "the spans of the first and the last do not overlap";
  });
}

TEST(virtual_timers, timers_and_tickers_with_slack) {
  bubble([] {
    rt::duration before = since_start();
    EXPECT_EQ(before, 0s);
    rt::timer timer(100ms, rt::slack(50ms));
    auto at = *timer.channel().recv() - rt::test::start;
    EXPECT_GE(at, 100ms);
    EXPECT_LE(at, 150ms);
    auto begun = rt::now();
    timer.reset(1s);  // keeps its slack
    at = *timer.channel().recv() - begun;
    EXPECT_GE(at, 1s);
    EXPECT_LE(at, 1050ms);
    begun = rt::now();
    rt::duration ran{0};
    rt::timer function(
        3ms, [&] { ran = rt::now() - begun; }, rt::slack(2ms));
    rt::sleep_for(10ms);
    EXPECT_GE(ran, 3ms);
    EXPECT_LE(ran, 5ms);
    begun = rt::now();
    rt::ticker ticker(10ms, rt::slack(9ms));
    for (int i = 1; i <= 100; ++i) {
      auto tick = *ticker.channel().recv() - begun;
      EXPECT_GE(tick, i * 10ms);
      EXPECT_LE(tick, i * 10ms + 9ms) << "late ticks add up";
    }
    ticker.stop();
    begun = rt::now();
    rt::sleep_until(begun + 3s, rt::slack(-1s));
    EXPECT_EQ(rt::now(), begun + 3s);
  });
}

TEST(virtual_timers, all_timers_of_one_moment_fire_before_anybody_runs) {
  bubble([] {
    std::vector<rt::timer> timers;
    for (int i = 0; i < 10; ++i) {
      timers.emplace_back(1s);
      timers.back().channel();
    }
    rt::sleep_for(1s);
    for (rt::timer& one : timers) EXPECT_TRUE(one.channel().try_recv().has_value());
  });
}

}  // namespace
