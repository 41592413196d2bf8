// Behaviours 47 to 56: timers and time.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "rt/rt.h"
#include "tests/conformance/conformance.h"

namespace {

using namespace std::chrono_literals;
using namespace conformance;
RT_ON_PROCS(conformance_timers);

TEST_P(conformance_timers, b047_sleep_never_returns_early) {
  run([] {
    rt::scope scope;
    for (int sleeper = 0; sleeper < 20; ++sleeper) {
      scope.go([sleeper] {
        for (auto length : {1ns, 100ns, 1000ns, 50'000ns, 1'000'000ns, 10'000'000ns}) {
          const rt::duration asked = length * (sleeper + 1);
          rt::time_point start = rt::now();
          rt::sleep_for(asked);
          EXPECT_GE(rt::now() - start, asked);
          rt::time_point until = rt::now() + asked;
          rt::sleep_until(until);
          EXPECT_GE(rt::now(), until);
        }
      });
    }
    scope.wait();
  });
}

TEST_P(conformance_timers, b047_zero_and_negative_sleeps_return_at_once) {
  run([] {
    const std::uint64_t timers = rt::read_stats().timers_fired_total;
    for (auto length : {rt::duration(0), rt::duration(-1), rt::duration(-1h), rt::duration::min()})
      rt::sleep_for(length);
    rt::sleep_until(rt::time_point::min());
    rt::sleep_until(rt::now() - 1h);
    EXPECT_EQ(rt::read_stats().timers_fired_total, timers) << "a timer was armed";
  });
}

// While the world is being stopped again and again.
TEST_P(conformance_timers, b047_zero_sleeps_beside_stops_do_not_deadlock) {
  run([] {
    std::atomic<bool> stop{false};
    rt::scope scope;
    for (int i = 0; i < 4; ++i) {
      scope.go([&] {
        while (!stop) rt::sleep_for(0s);
      });
    }
    const int procs = rt::max_procs();
    for (int i = 0; i < scaled(200); ++i) {
      rt::max_procs(procs);
      rt::sleep_for(0s);
    }
    stop = true;
    scope.wait();
  });
}

enum class one_shot { channel, function, sleeper };

// Starts one shot each for `slots` times `unit`, and returns the slots in the order in which they came, or nothing when
// one was too late by more than the tolerance, which a busy machine may cause.
std::vector<int> order_of_firing(one_shot kind, const std::vector<int>& slots, rt::duration unit) {
  struct firing {
    int slot;
    rt::time_point at;
  };
  rt::chan<firing> fired(slots.size() * 2);
  std::vector<rt::timer> timers;
  rt::scope scope;
  const rt::time_point start = rt::now();
  for (int slot : slots) {
    const rt::duration length = slot * unit;
    if (kind == one_shot::function) {
      timers.emplace_back(length, [=] { fired.send({slot, rt::now()}); });
    } else if (kind == one_shot::channel) {
      scope.go([=] {
        rt::timer timer(length);
        rt::time_point at = *timer.channel().recv();
        fired.send({slot, at});
        EXPECT_EQ(timer.channel().recv_for(2 * unit), std::nullopt) << "fired twice";
      });
    } else {
      scope.go([=] {
        rt::sleep_for(length);
        fired.send({slot, rt::now()});
      });
    }
  }
  std::vector<int> order;
  bool in_time = true;
  while (order.size() < slots.size()) {
    firing one = *fired.recv();
    EXPECT_GE(one.at, start + one.slot * unit) << "slot " << one.slot << " was early";
    in_time = in_time && one.at < start + (one.slot + 10) * unit;
    order.push_back(one.slot);
  }
  scope.wait();
  rt::sleep_for(2 * unit);
  EXPECT_EQ(fired.size(), 0U) << "fired twice";
  return in_time ? order : std::vector<int>();
}

void expect_order(one_shot kind) {
  const std::vector<int> slots{5, 3, 6, 6, 6, 1, 1, 2, 7, 9, 4, 8, 0};
  std::vector<int> expected = slots;
  std::sort(expected.begin(), expected.end());
  std::vector<int> order;
  for (int attempt = 0; attempt < 10 && order != expected; ++attempt) {
    order = order_of_firing(kind, slots, 5ms * (1 + attempt));
  }
  EXPECT_EQ(order, expected);
}

TEST_P(conformance_timers, b048_channels_fire_once_in_order_and_in_time) {
  run([] { expect_order(one_shot::channel); });
}

TEST_P(conformance_timers, b048_functions_run_once_in_order_and_in_time) {
  run([] { expect_order(one_shot::function); });
}

TEST_P(conformance_timers, b048_sleepers_wake_in_order_and_in_time) {
  run([] { expect_order(one_shot::sleeper); });
}

// Two timers race. Who gets one's value stops the other: either that was in time, or the value is there.
void expect_results_to_be_true(bool (*stop)(rt::timer&)) {
  std::atomic<int> begun{0};
  rt::scope scope;
  const int green_threads = scaled(300);
  for (int g = 0; g < green_threads; ++g) {
    scope.go([&] {
      ++begun;
      while (begun < green_threads) rt::yield();
      for (int i = 0; i < 30; ++i) {
        rt::timer first(1ms);
        rt::timer second(1ms);
        rt::timer* other = nullptr;
        rt::select(rt::on_recv(first.channel(), [&](auto) { other = &second; }),
                   rt::on_recv(second.channel(), [&](auto) { other = &first; }));
        if (!stop(*other)) {
          EXPECT_TRUE(other->channel().recv_for(30s).has_value()) << "neither stopped nor fired";
        } else {
          EXPECT_EQ(other->channel().try_recv(), std::nullopt) << "stopped, and yet fired";
        }
        other->stop();
      }
    });
  }
  scope.wait();
}

TEST_P(conformance_timers, b049_stop_says_whether_it_was_in_time) {
  run([] { expect_results_to_be_true([](rt::timer& timer) { return timer.stop(); }); });
}

TEST_P(conformance_timers, b049_reset_says_whether_it_was_in_time) {
  run([] { expect_results_to_be_true([](rt::timer& timer) { return timer.reset(1h); }); });
}

TEST_P(conformance_timers, b049_a_function_runs_if_and_only_if_it_was_not_stopped) {
  const unsigned seed = printed_seed();
  run([seed] {
    const int count = scaled(3000);
    std::vector<std::atomic<int>> runs(static_cast<std::size_t>(count));
    std::vector<rt::timer> timers;
    std::vector<std::atomic<int>> expected(static_cast<std::size_t>(count));
    std::minstd_rand random(seed);
    for (int i = 0; i < count; ++i) {
      timers.emplace_back(std::chrono::microseconds(random() % 3000),
                          [&runs, i] { ++runs[static_cast<std::size_t>(i)]; });
    }
    rt::wait_group stoppers;
    for (unsigned s = 0; s < 4; ++s) {
      stoppers.go([&, s] {
        std::minstd_rand mine(seed + s + 1);
        for (std::size_t i = s; i < static_cast<std::size_t>(count); i += 4) {
          if (mine() % 8 == 0) rt::sleep_for(std::chrono::microseconds(mine() % 50));
          switch (mine() % 3) {
            case 0:
              expected[i] = timers[i].stop() ? 0 : 1;
              break;
            case 1:
              expected[i] = timers[i].reset(std::chrono::microseconds(mine() % 100)) ? 1 : 2;
              break;
            default:
              expected[i] = timers[i].reset(1h) ? 0 : 1;
              EXPECT_TRUE(timers[i].stop());
              break;
          }
        }
      });
    }
    stoppers.wait();
    EXPECT_TRUE(eventually([&] {
      for (std::size_t i = 0; i < runs.size(); ++i) {
        if (runs[i] < expected[i]) return false;
      }
      return true;
    }));
    rt::sleep_for(5ms);
    for (std::size_t i = 0; i < runs.size(); ++i) ASSERT_EQ(runs[i], expected[i]) << i;
  });
}

TEST_P(conformance_timers, b049_stress_of_stopping_far_timers) {
  run([] {
    rt::scope scope;
    for (int g = 0; g < 100; ++g) {
      scope.go([g] {
        rt::timer timer(1h, [] { ADD_FAILURE() << "it fired"; });
        rt::sleep_for(std::chrono::milliseconds(1 + g % 10));
        EXPECT_TRUE(timer.stop());
        EXPECT_FALSE(timer.stop());
      });
    }
    scope.wait();
  });
}

TEST_P(conformance_timers, b050_no_stale_tick_after_stop_or_reset) {
  const unsigned seed = printed_seed();
  run([seed] {
    rt::wait_group group;
    for (unsigned g = 0; g < 4; ++g) {
      group.go([seed, g] {
        std::minstd_rand random(seed + g);
        for (int i = 0; i < scaled(1000); ++i) {
          rt::timer timer(std::chrono::microseconds(random() % 60));
          rt::chan<rt::time_point> channel = timer.channel();
          if (random() % 2 == 0) rt::sleep_for(std::chrono::microseconds(random() % 80));
          timer.stop();
          EXPECT_EQ(channel.try_recv(), std::nullopt) << "after stop";
          rt::yield();
          EXPECT_EQ(channel.try_recv(), std::nullopt) << "some time after stop";
          rt::time_point again = rt::now();
          timer.reset(200us);
          if (std::optional<rt::time_point> at = channel.recv_for(std::chrono::microseconds(random() % 400))) {
            EXPECT_GE(*at - again, 200us) << "the tick of an earlier setting";
          }
          timer.reset(1h);
          EXPECT_EQ(channel.try_recv(), std::nullopt) << "after reset";
          EXPECT_TRUE(timer.stop());

          rt::ticker ticker(std::chrono::microseconds(1 + random() % 50));
          channel = ticker.channel();
          if (random() % 2 == 0) rt::sleep_for(std::chrono::microseconds(random() % 120));
          again = rt::now();
          ticker.reset(300us);
          if (std::optional<rt::time_point> at = channel.try_recv()) {
            EXPECT_GE(*at - again, 300us) << "the tick of the earlier period";
          }
          ticker.stop();
          EXPECT_EQ(channel.try_recv(), std::nullopt) << "after stop";
          rt::yield();
          EXPECT_EQ(channel.try_recv(), std::nullopt) << "some time after stop";
        }
      });
    }
    group.wait();
  });
}

TEST_P(conformance_timers, b051_a_ticker_keeps_its_period_and_adjusts_on_reset) {
  run([] {
    constexpr int count = 10;
    constexpr rt::duration target = count * 5ms + count * 10ms;
    rt::duration took{};
    for (int attempt = 0; attempt < 10; ++attempt) {
      rt::time_point start = rt::now();
      rt::ticker ticker(5ms);
      for (int i = 1; i <= count; ++i) EXPECT_GE(*ticker.channel().recv(), start + i * 5ms) << "too fast";
      rt::time_point again = rt::now();
      ticker.reset(10ms);
      for (int i = 1; i <= count; ++i) EXPECT_GE(*ticker.channel().recv(), again + i * 10ms) << "too fast after reset";
      took = rt::now() - start;
      ticker.stop();
      // A busy machine delays ticks; one try in ten must be without delay, which cannot be had if ticks drift.
      if (took < target + target * 3 / 10) break;
    }
    EXPECT_LT(took, target + target * 3 / 10);
  });
}

TEST_P(conformance_timers, b051_a_slow_reader_loses_ticks_and_a_period_must_be_positive) {
  run([] {
    rt::ticker ticker(1ms);
    rt::sleep_for(30ms);
    EXPECT_TRUE(ticker.channel().try_recv().has_value());
    // What piled up could be taken at once.
    int at_once = 0;
    for (int i = 0; i < 10; ++i) at_once += ticker.channel().try_recv().has_value() ? 1 : 0;
    EXPECT_LT(at_once, 10);
    ticker.stop();
    for (rt::duration wrong : {rt::duration(0), rt::duration(-1), rt::duration::min()}) {
      EXPECT_THROW(rt::ticker{wrong}, std::invalid_argument);
      EXPECT_THROW(ticker.reset(wrong), std::invalid_argument);
    }
    ticker.reset(1ms);
    EXPECT_TRUE(ticker.channel().recv_for(30s).has_value()) << "a refused period changes nothing";
  });
}

TEST_P(conformance_timers, b052_huge_lengths_do_not_overflow) {
  run([] {
    for (rt::duration huge :
         {rt::duration::max(), rt::duration::max() - 1ns, rt::duration(std::chrono::hours(2'000'000))}) {
      rt::timer timer(huge);
      rt::timer function(huge, [] { ADD_FAILURE() << "it fired"; });
      rt::ticker ticker(huge);
      std::atomic<int> woken{0};
      rt::chan<int> empty;
      rt::mutex locked;
      locked.lock();
      rt::wait_group busy;
      busy.add();
      rt::scope scope;
      auto waits = [&](auto wait) {
        scope.go([&woken, wait] {
          wait();
          ++woken;
        });
      };
      waits([huge] { rt::sleep_for(huge); });
      waits([] { rt::sleep_until(rt::time_point::max()); });
      waits([&] { empty.recv_for(huge); });
      waits([&] { rt::select(rt::on_recv(empty, [](auto) {}), rt::after(huge, [] {})); });
      waits([&] { static_cast<void>(locked.try_lock_for(huge)); });
      waits([&] { busy.wait_for(huge); });
      rt::sleep_for(3ms);
      EXPECT_EQ(woken, 0);
      EXPECT_EQ(timer.channel().try_recv(), std::nullopt);
      EXPECT_EQ(ticker.channel().try_recv(), std::nullopt);
      EXPECT_TRUE(timer.stop());
      EXPECT_TRUE(function.stop());
      ticker.stop();
      scope.cancel();
      scope.wait();
      busy.done();
      locked.unlock();
    }
  });
}

TEST_P(conformance_timers, b052_negative_lengths_fire_at_once) {
  run([] {
    for (rt::duration past : {rt::duration(0), rt::duration(-1), rt::duration(-1h), rt::duration::min()}) {
      rt::timer timer(past);
      EXPECT_TRUE(timer.channel().recv_for(30s).has_value());
      rt::chan<int> ran(1);
      rt::timer function(past, [=] { ran.send(1); });
      EXPECT_TRUE(ran.recv_for(30s).has_value());
      EXPECT_FALSE(timer.reset(past));
      EXPECT_TRUE(timer.channel().recv_for(30s).has_value());
      rt::chan<int> empty;
      EXPECT_EQ(empty.recv_for(past), std::nullopt);
      bool timed_out = false;
      rt::select(rt::on_recv(empty, [](auto) { ADD_FAILURE(); }), rt::after(past, [&] { timed_out = true; }));
      EXPECT_TRUE(timed_out);
    }
  });
}

TEST_P(conformance_timers, b053_a_timer_that_is_moved_earlier_fires_at_its_new_time) {
  run([] {
    // All Ps but this one sleep until the old time; the one that moves it may be another one, or no P at all.
    for (int round = 0; round < 20; ++round) {
      rt::timer timer(1h);
      rt::scope scope;
      rt::chan<rt::time_point> got(1);
      scope.go(named("receiver"), [&] { got.send(*timer.channel().recv()); });
      ASSERT_TRUE(come_to_wait("receiver", "chan receive"));
      rt::time_point moved = rt::now();
      if (round % 2 == 0) {
        scope.go([&] { timer.reset(1ms); });
      } else {
        rt::blocking([&] { std::thread([&] { timer.reset(1ms); }).join(); });
      }
      std::optional<rt::time_point> at = got.recv_for(30s);
      ASSERT_TRUE(at.has_value()) << "it did not fire at its new time";
      EXPECT_GE(*at, moved + 1ms);
      scope.wait();
    }
  });
}

TEST_P(conformance_timers, b053_many_timers_are_moved_to_and_fro) {
  const unsigned seed = printed_seed();
  run([seed] {
    std::minstd_rand random(seed);
    std::vector<rt::timer> timers;
    const int count = scaled(1000);
    for (int i = 0; i < count; ++i) timers.emplace_back(std::chrono::seconds(3600 + i));
    rt::wait_group movers;
    for (unsigned m = 0; m < 4; ++m) {
      movers.go([&, m] {
        std::minstd_rand mine(seed + m);
        for (int i = 0; i < count * 4; ++i) {
          rt::timer& one = timers[mine() % timers.size()];
          one.reset(std::chrono::milliseconds(mine() % 2 == 0 ? 3'600'000 + mine() % 1000 : mine() % 20));
          if (mine() % 16 == 0) rt::yield();
        }
      });
    }
    movers.wait();
    rt::time_point moved = rt::now();
    for (rt::timer& one : timers) one.reset(5ms);
    for (rt::timer& one : timers) {
      std::optional<rt::time_point> at = one.channel().recv_for(30s);
      ASSERT_TRUE(at.has_value());
      EXPECT_GE(*at, moved + 5ms);
    }
    EXPECT_EQ(rt::read_stats().timers, 0U);
  });
}

TEST_P(conformance_timers, b054_timers_that_nobody_refers_to_are_given_back) {
  run([] {
    auto drop_some = [](int count) {
      for (int i = 0; i < count; ++i) {
        rt::timer far(1h);
        rt::timer asked(1h);
        asked.channel();
        rt::ticker ticker(std::chrono::microseconds(50 + i % 100));
        rt::ticker heard(1ms);
        heard.channel().try_recv();
      }
    };
    drop_some(100);
    EXPECT_TRUE(eventually([] { return rt::read_stats().timers <= 1; })) << rt::read_stats().timers << " are left";
    const std::size_t before = allocated_bytes();
    drop_some(scaled(3000));
    EXPECT_TRUE(eventually([] { return rt::read_stats().timers <= 1; })) << rt::read_stats().timers << " are left";
    EXPECT_LT(allocated_bytes(), before + 100'000);
  });
}

// Whoever has the channel still gets what it was promised.
TEST_P(conformance_timers, b054_a_channel_alone_keeps_its_timer_going) {
  run([] {
    rt::chan<rt::time_point> once = rt::timer(1ms).channel();
    rt::chan<rt::time_point> ticks = rt::ticker(1ms).channel();
    EXPECT_TRUE(once.recv_for(30s).has_value());
    for (int i = 0; i < 5; ++i) EXPECT_TRUE(ticks.recv_for(30s).has_value());
    ticks = rt::chan<rt::time_point>(nullptr);
    EXPECT_TRUE(eventually([] { return rt::read_stats().timers <= 1; })) << "a ticker goes on for nobody";
    std::atomic<bool> ran{false};
    {
      rt::timer function(1ms, [&] { ran = true; });
    }
    EXPECT_TRUE(eventually([&] { return ran.load(); })) << "a function is run without anybody who refers to its timer";
  });
}

TEST_P(conformance_timers, b055_a_slow_function_does_not_hold_up_others) {
  run([] {
    std::atomic<int> ran{0};
    rt::chan<int> gate;
    std::vector<rt::timer> slow;
    for (int i = 0; i < 10; ++i) slow.emplace_back(1ms, [=] { gate.recv(); });
    slow.emplace_back(1ms, [&] { rt::blocking([&] { std::this_thread::sleep_for(50ms); }); });
    std::vector<rt::timer> quick;
    for (int i = 0; i < 100; ++i) quick.emplace_back(2ms, [&] { ++ran; });
    EXPECT_TRUE(eventually([&] { return ran == 100; }));
    rt::timer timer(1ms);
    EXPECT_TRUE(timer.channel().recv_for(30s).has_value());
    gate.close();
  });
}

// Two keep a channel busy, one of them is always ready to run; a function that arms itself again still gets its turns.
TEST_P(conformance_timers, b055_a_function_is_not_starved_by_a_busy_channel) {
  run([] {
    rt::chan<int> busy(1);
    std::atomic<bool> stop{false};
    std::atomic<int> turns{0};
    rt::scope scope;
    scope.go([&] {
      while (!stop) busy.send(1);
      busy.close();
    });
    scope.go([&] {
      while (busy.recv()) {
      }
    });
    std::function<void()> again = [&] {
      if (++turns < 20) rt::timer(1us, again);
    };
    rt::timer first(1us, again);
    EXPECT_TRUE(eventually([&] { return turns == 20; }));
    stop = true;
    scope.wait();
  });
}

// Made without one, or moved from.
TEST_P(conformance_timers, b056_using_a_handle_without_a_timer_is_a_clear_error) {
  run([] {
    rt::timer none;
    rt::ticker no_ticker;
    EXPECT_THROW(none.stop(), std::logic_error);
    EXPECT_THROW(none.reset(1ms), std::logic_error);
    EXPECT_THROW(none.channel(), std::logic_error);
    EXPECT_THROW(no_ticker.stop(), std::logic_error);
    EXPECT_THROW(no_ticker.reset(1ms), std::logic_error);
    EXPECT_THROW(no_ticker.channel(), std::logic_error);
    rt::timer first(1h);
    rt::timer second(std::move(first));
    EXPECT_THROW(first.stop(), std::logic_error);  // NOLINT(bugprone-use-after-move): that is what is looked at
    EXPECT_TRUE(second.stop());
    none = second;
    EXPECT_FALSE(none.reset(1h));
    EXPECT_TRUE(second.stop());
  });
}

}  // namespace
