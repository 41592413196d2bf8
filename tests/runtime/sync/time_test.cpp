#include <gtest/gtest.h>

#include <malloc.h>

#include <algorithm>
#include <atomic>
#include <random>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
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
    rt::sleep_until(rt::time_point::min());
  });
}

// The best of many: a busy machine may delay all but one of them. Timers that are rounded up to 1 ms delay every one.
TEST_P(timing, a_sleep_of_50_us_is_not_rounded_up) {
  run([] {
    rt::duration best = rt::duration::max();
    for (int i = 0; i < 5000 && best >= 500us; ++i) {
      auto start = rt::now();
      rt::sleep_for(50us);
      best = std::min(best, rt::now() - start);
    }
    EXPECT_GE(best, 50us);
    EXPECT_LT(best, 500us);
  });
}

// Where the machine kept the process waiting for longer than the sleepers sleep, they all wake at once, and the one
// whose time came last goes first, as whoever was woken last does. It will not do so every time.
TEST_P(timing, many_sleepers_wake_in_order) {
  run([] {
    std::vector<int> order{1, 0};
    for (int round = 0; round < 100 && order.front() >= order.back(); ++round) {
      rt::chan<int> woken(1000);
      for (int i = 0; i < 200; ++i) {
        rt::go([=] {
          rt::sleep_for(std::chrono::milliseconds(i % 10 * 3 + 1));
          woken.send(i % 10);
        });
      }
      order.clear();
      for (int i = 0; i < 200; ++i) order.push_back(*woken.recv());
      EXPECT_EQ(std::count(order.begin(), order.end(), 9), 20);
    }
    EXPECT_LT(order.front(), order.back());
  });
}

TEST_P(timing, a_huge_length_does_not_overflow) {
  run([] {
    rt::timer far(rt::duration::max());
    EXPECT_EQ(far.channel().try_recv(), std::nullopt);
    EXPECT_TRUE(far.stop());
    EXPECT_FALSE(far.reset(rt::duration::max() - 1ns));
    EXPECT_TRUE(far.stop());
    rt::ticker slow(rt::duration::max());
    EXPECT_EQ(slow.channel().try_recv(), std::nullopt);
    slow.reset(rt::duration::max() / 2);
    slow.stop();
    rt::scope scope;
    scope.go([] { rt::sleep_for(rt::duration::max()); });
    scope.go([] { rt::sleep_for(rt::duration::max(), rt::slack(rt::duration::max())); });
    scope.go([] { rt::sleep_until(rt::time_point::max()); });
    rt::sleep_for(1ms);
    scope.cancel();
    scope.wait();
  });
}

TEST_P(timing, a_zero_or_negative_length_fires_at_once) {
  run([] {
    for (rt::duration length : {rt::duration(0), rt::duration(-1), rt::duration(-5h), rt::duration::min()}) {
      rt::timer timer(length);
      EXPECT_TRUE(timer.channel().recv().has_value());
      timer.reset(length);
      EXPECT_TRUE(timer.channel().recv().has_value());
      std::atomic<bool> ran{false};
      rt::timer function(length, [&] { ran = true; });
      EXPECT_TRUE(rt_test::eventually([&] { return ran.load(); }));
    }
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
    // Not at once: who fires it may have lost its CPU, while another one has ended the sleep.
    EXPECT_TRUE(timer.channel().recv_for(10s).has_value());
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

template <class Function>
std::string misuse_text(const Function& function) {
  try {
    function();
  } catch (const std::logic_error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

TEST_P(timing, a_handle_without_a_timer_says_so) {
  run([] {
    const std::string text =
        "rt::timer or rt::ticker: the handle refers to none; it was moved from or made without one: assign one first";
    rt::timer timer(1h);
    rt::timer moved = std::move(timer);
    rt::ticker ticker;
    EXPECT_EQ(misuse_text([&] { timer.stop(); }), text);  // NOLINT(bugprone-use-after-move): what is tested
    EXPECT_EQ(misuse_text([&] { timer.reset(1s); }), text);
    EXPECT_EQ(misuse_text([&] { timer.channel(); }), text);
    EXPECT_EQ(misuse_text([&] { rt::timer().stop(); }), text);
    EXPECT_EQ(misuse_text([&] { ticker.stop(); }), text);
    EXPECT_EQ(misuse_text([&] { ticker.reset(1s); }), text);
    EXPECT_EQ(misuse_text([&] { ticker.channel(); }), text);
    EXPECT_TRUE(moved.stop());
    timer = moved;
    EXPECT_FALSE(timer.stop()) << "it is the same timer, stopped already";
    ticker = rt::ticker(1h);
    ticker.stop();
    EXPECT_THROW(rt::timer(1s, std::function<void()>()), std::invalid_argument);
  });
}

// Nobody owes a stop() for a timer that is thrown away.
TEST_P(timing, a_timer_that_nobody_can_notice_is_gone) {
  run([] {
    for (int i = 0; i < 1000; ++i) rt::timer(1h).channel();
    for (int i = 0; i < 1000; ++i) rt::ticker(std::chrono::microseconds(1 + i % 100)).channel();
    EXPECT_TRUE(rt_test::eventually([] { return rt::read_stats().timers == 0; }));
    rt::chan<rt::time_point> kept = rt::ticker(1ms).channel();
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(kept.recv().has_value());
    EXPECT_TRUE(rt::timer(1ms).channel().recv().has_value());
    kept = rt::chan<rt::time_point>(nullptr);
    EXPECT_TRUE(rt_test::eventually([] { return rt::read_stats().timers == 0; })) << "it ends with its next tick";
    std::atomic<bool> ran{false};
    {
      rt::timer dropped(1ms, [&] { ran = true; });
    }
    EXPECT_TRUE(rt_test::eventually([&] { return ran.load(); })) << "a function runs all the same";
  });
}

// The M in the poller sleeps without end when the timer is armed by a thread that has no P.
TEST_P(timing, timers_armed_by_threads_without_a_processor_fire) {
  run([] {
    rt::timer timer(1h);
    rt::chan<rt::time_point> fired = timer.channel();
    for (int i = 0; i < 20; ++i) {
      rt::go([=] {
        rt::blocking([&] {
          std::this_thread::sleep_for(1ms);  // so that the others are idle
          timer.reset(100us);
        });
      });
      EXPECT_TRUE(fired.recv().has_value());
      std::thread outside([&] {
        std::this_thread::sleep_for(1ms);
        timer.reset(100us);
      });
      EXPECT_TRUE(fired.recv().has_value());
      rt::blocking([&] { outside.join(); });
    }
  });
}

TEST_P(timing, a_timer_moved_earlier_fires_earlier) {
  run([] {
    for (int i = 0; i < 20; ++i) {
      rt::timer timer(1h);
      rt::chan<rt::time_point> fired = timer.channel();
      rt::go([=] {
        rt::sleep_for(1ms);  // all wait by now, until the old time
        timer.reset(1ms);
      });
      EXPECT_TRUE(fired.recv().has_value());
    }
  });
}

TEST_P(timing, a_slow_function_delays_no_other) {
  run([] {
    std::atomic<bool> go_on{false};
    std::atomic<int> ran{0};
    rt::timer slow(1ms, [&] {
      EXPECT_TRUE(rt_test::eventually([&] { return go_on.load(); }));
      ++ran;
    });
    for (int i = 0; i < 10; ++i) rt::timer(2ms, [&] { ++ran; });
    EXPECT_TRUE(rt_test::eventually([&] { return ran == 10; }));
    go_on = true;
    EXPECT_TRUE(rt_test::eventually([&] { return ran == 11; }));
  });
}

TEST(timer_life, a_timer_needs_a_runtime_and_may_outlive_it) {
  EXPECT_THROW(rt::timer(1ms), std::system_error);
  rt::timer timer;
  rt::ticker ticker;
  rt_test::in_runtime(2, [&] {
    timer = rt::timer(1h);
    ticker = rt::ticker(1h);
    timer.channel();
  });
  EXPECT_FALSE(timer.stop()) << "it was disarmed with the runtime";
  ticker.stop();
  EXPECT_THROW(timer.reset(1ms), std::system_error);
  rt_test::in_runtime(1, [&] {
    timer.reset(1ms);
    EXPECT_TRUE(timer.channel().recv().has_value());
    ticker.reset(1ms);
    EXPECT_TRUE(ticker.channel().recv().has_value());
    ticker.stop();
  });
}

TEST_P(timing, a_million_armed_timers) {
  run([] {
    const int count = scaled(1'000'000);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && defined(__GLIBC__)
    struct mallinfo2 before = mallinfo2();
#endif
    {
      std::vector<rt::timer> timers;
      timers.reserve(static_cast<std::size_t>(count));
      std::mt19937 random(1);
      for (int i = 0; i < count; ++i) timers.emplace_back(1h + std::chrono::microseconds(random() % 1'000'000));
      EXPECT_GE(rt::read_stats().timers, static_cast<std::uint64_t>(count));
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && defined(__GLIBC__)
      struct mallinfo2 armed = mallinfo2();
      EXPECT_LT((armed.uordblks + armed.hblkhd - before.uordblks - before.hblkhd) / static_cast<std::size_t>(count),
                256U)
          << "bytes for each, the handle included";
#endif
      rt::sleep_for(1ms);  // one that is due goes first, whatever is armed
      for (int i = 0; i < count; i += 2) EXPECT_TRUE(timers[static_cast<std::size_t>(i)].stop());
      EXPECT_EQ(rt::read_stats().timers, static_cast<std::uint64_t>(count / 2));
    }
    EXPECT_EQ(rt::read_stats().timers, 0U);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && defined(__GLIBC__)
    struct mallinfo2 after = mallinfo2();
    EXPECT_LT(after.uordblks + after.hblkhd, before.uordblks + before.hblkhd + 200'000) << "all is given back";
#endif
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
