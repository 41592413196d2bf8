#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <vector>

#include "rt/rt.h"
#include "tests/runtime/in_runtime.h"

namespace {

using namespace std::chrono_literals;
using rt_test::scaled;
RT_ON_PROCS(timing);

TEST_P(timing, sleep_never_ends_early) {
  run([] {
    for (auto length : {1us, 50us, 200us, 1000us, 3000us}) {
      for (int i = 0; i < 10; ++i) {
        auto start = rt::now();
        rt::sleep_for(length);
        EXPECT_GE(rt::now() - start, length);
      }
    }
    rt::sleep_for(0s);
    rt::sleep_for(-5h);
    rt::sleep_until(rt::now() - 1h);
  });
}

TEST_P(timing, many_sleepers_wake_in_order) {
  run([] {
    rt::chan<int> woken(1000);
    for (int i = 0; i < 200; ++i) {
      rt::go([=] {
        rt::sleep_for(std::chrono::milliseconds(i % 10 * 3 + 1));
        woken.send(i % 10);
      });
    }
    std::vector<int> order;
    for (int i = 0; i < 200; ++i) order.push_back(*woken.recv());
    EXPECT_EQ(std::count(order.begin(), order.end(), 9), 20);
    EXPECT_LT(order.front(), order.back());
  });
}

TEST_P(timing, a_huge_length_does_not_overflow) {
  run([] {
    rt::timer far(rt::duration::max());
    EXPECT_EQ(far.channel().try_recv(), std::nullopt);
    EXPECT_TRUE(far.stop());
    rt::scope scope;
    scope.go([] { rt::sleep_for(rt::duration::max()); });
    rt::sleep_for(1ms);
    scope.cancel();
    scope.wait();
  });
}

TEST_P(timing, a_timer_sends_once) {
  run([] {
    auto start = rt::now();
    rt::timer timer(2ms);
    auto at = timer.channel().recv();
    ASSERT_TRUE(at.has_value());
    EXPECT_GE(*at - start, 2ms);
    EXPECT_FALSE(timer.stop()) << "it had fired";
    EXPECT_EQ(timer.channel().recv_for(5ms), std::nullopt);
  });
}

TEST_P(timing, a_timer_that_fired_before_its_channel_was_asked_for) {
  run([] {
    rt::timer timer(1ms);
    rt::sleep_for(3ms);
    EXPECT_TRUE(timer.channel().try_recv().has_value());
  });
}

TEST_P(timing, no_stale_value_after_stop_or_reset) {
  run([] {
    for (int i = 0; i < scaled(300); ++i) {
      rt::timer timer(std::chrono::microseconds(i % 50));
      timer.channel();
      if (i % 3 == 0) rt::sleep_for(std::chrono::microseconds(i % 60));
      timer.stop();
      EXPECT_EQ(timer.channel().try_recv(), std::nullopt);
      auto again = rt::now();
      timer.reset(500us);
      auto at = timer.channel().recv();
      EXPECT_GE(*at - again, 500us) << "the value of the earlier setting";
    }
  });
}

TEST_P(timing, functions_run_once_unless_stopped) {
  run([] {
    std::atomic<int> ran{0};
    rt::timer first(1ms, [&] { ++ran; });
    rt::timer second(1h, [&] { ++ran; });
    EXPECT_TRUE(second.stop());
    EXPECT_FALSE(second.stop());
    while (ran == 0) rt::sleep_for(100us);
    EXPECT_FALSE(first.stop());
    EXPECT_FALSE(second.reset(1ms));
    while (ran == 1) rt::sleep_for(100us);
    rt::sleep_for(5ms);
    EXPECT_EQ(ran.load(), 2);
  });
}

TEST_P(timing, tickers_tick_and_stop) {
  run([] {
    auto start = rt::now();
    rt::ticker ticker(2ms);
    for (int i = 1; i <= 5; ++i) {
      auto at = ticker.channel().recv();
      EXPECT_GE(*at - start, i * 2ms);
    }
    rt::sleep_for(10ms);  // a slow receiver
    ticker.stop();
    EXPECT_EQ(ticker.channel().recv_for(6ms), std::nullopt) << "a tick after stop, or ticks that piled up";
    ticker.reset(1ms);
    EXPECT_TRUE(ticker.channel().recv_for(5s).has_value());
    ticker.stop();
    EXPECT_THROW(rt::ticker(0ms), std::invalid_argument);
    EXPECT_THROW(ticker.reset(-1ms), std::invalid_argument);
  });
}

TEST_P(timing, storms_of_arming_and_stopping) {
  run([] {
    rt::wait_group group;
    std::atomic<long> fired{0};
    for (int g = 0; g < 8; ++g) {
      group.go([&, g] {
        std::vector<rt::timer> timers;
        for (int i = 0; i < scaled(500); ++i) {
          timers.emplace_back(std::chrono::microseconds((g * 31 + i * 7) % 2000));
          if (i % 3 == 0) timers[static_cast<std::size_t>(i / 2)].stop();
          if (i % 5 == 0) timers[static_cast<std::size_t>(i / 3)].reset(std::chrono::microseconds(i % 100));
          if (i % 50 == 0) rt::yield();
        }
        for (rt::timer& one : timers) {
          if (one.channel().recv_for(1ms)) ++fired;
          one.stop();
        }
      });
    }
    group.wait();
    EXPECT_GT(fired.load(), 0);
    EXPECT_EQ(rt::read_stats().timers, 0U) << "stopped timers stay in no heap";
  });
}

}  // namespace
