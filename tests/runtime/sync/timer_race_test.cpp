// Timers against those who stop and reset them, on many Ps, in orders that a seed decides.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "rt/rt.h"
#include "tests/runtime/in_runtime.h"

namespace {

using namespace std::chrono_literals;
using rt_test::scaled;
RT_ON_PROCS(timer_races);

std::chrono::microseconds some_us(std::mt19937& random, unsigned below) {
  return std::chrono::microseconds(random() % below);
}

// After stop() has returned, whatever is received comes from a later reset(). Several receivers wait all the time.
TEST_P(timer_races, no_receiver_ever_sees_a_stale_tick) {
  for (unsigned seed = 1; seed <= 4; ++seed) {
    SCOPED_TRACE("seed = " + std::to_string(seed));
    run([seed] {
      constexpr int most_settings = 1000;
      const int settings = scaled(most_settings);
      rt::timer timer(1h);
      rt::chan<rt::time_point> fired = timer.channel();
      // Setting i is armed at or after begun[i]; `current` grows when nothing of the setting before can come any more.
      std::array<std::atomic<std::int64_t>, most_settings + 1> begun{};
      std::atomic<int> current{0};
      std::atomic<bool> over{false};
      std::atomic<int> stale{0};
      rt::wait_group receivers;
      for (int g = 0; g < 3; ++g) {
        receivers.go([&] {
          while (!over) {
            int setting = current.load();
            auto at = fired.recv_for(200us);
            if (at && at->time_since_epoch().count() < begun[static_cast<std::size_t>(setting)].load()) ++stale;
          }
        });
      }
      std::mt19937 random(seed);
      for (int i = 1; i <= settings; ++i) {
        timer.stop();
        begun[static_cast<std::size_t>(i)] = rt::now().time_since_epoch().count();
        current = i;
        timer.reset(some_us(random, 40));
        switch (random() % 4) {
          case 0:
            rt::yield();
            break;
          case 1:
            rt::sleep_for(some_us(random, 60));
            break;
          case 2: {
            auto until = rt::now() + some_us(random, 50);
            while (rt::now() < until) rt::checkpoint();
            break;
          }
          default:
            break;
        }
        if (random() % 8 == 0) {
          timer.stop();
          if (fired.try_recv()) ++stale;
        }
      }
      over = true;
      receivers.wait();
      EXPECT_EQ(stale.load(), 0);
    });
  }
}

// stop() says whether it prevented the function: of each timer exactly one is true.
TEST_P(timer_races, a_function_runs_exactly_if_no_stop_says_that_it_will_not) {
  for (unsigned seed = 1; seed <= 4; ++seed) {
    SCOPED_TRACE("seed = " + std::to_string(seed));
    run([seed] {
      struct one {
        std::atomic<int> ran{0};
        std::atomic<int> prevented{0};
      };
      const int count = scaled(1000);
      auto all = std::make_unique<one[]>(static_cast<std::size_t>(count));
      std::mt19937 random(seed);
      rt::wait_group stoppers;
      for (int i = 0; i < count; ++i) {
        one& mine = all[static_cast<std::size_t>(i)];
        rt::timer timer(some_us(random, 100), [&mine] { ++mine.ran; });
        for (int g = 0; g < 2; ++g) {  // two at the same time
          stoppers.go([&mine, timer, after = some_us(random, 100)] {
            rt::sleep_for(after);
            if (timer.stop()) ++mine.prevented;
          });
        }
        if (i % 20 == 0) rt::sleep_for(100us);
      }
      stoppers.wait();
      EXPECT_TRUE(rt_test::eventually([&] {
        for (int i = 0; i < count; ++i) {
          one& each = all[static_cast<std::size_t>(i)];
          if (each.ran + each.prevented != 1) return false;
        }
        return true;
      }));
      EXPECT_TRUE(rt_test::eventually([] { return rt::num_green_threads() == 1; }));
    });
  }
}

// The same for a channel: armed settings are either received or prevented.
TEST_P(timer_races, every_setting_is_received_or_prevented) {
  for (unsigned seed = 1; seed <= 4; ++seed) {
    SCOPED_TRACE("seed = " + std::to_string(seed));
    run([seed] {
      const int count = scaled(2000);
      rt::wait_group group;
      for (unsigned g = 0; g < 8; ++g) {
        group.go([=] {
          std::mt19937 random(seed * 100 + g);
          rt::timer timer(1h);
          timer.stop();
          for (int i = 0; i < count / 8; ++i) {
            EXPECT_FALSE(timer.reset(some_us(random, 30)));
            if (random() % 2 == 0) rt::sleep_for(some_us(random, 40));
            if (random() % 2 == 0) {
              EXPECT_TRUE(timer.channel().recv().has_value());
              EXPECT_FALSE(timer.stop());
            } else if (!timer.stop()) {
              EXPECT_EQ(timer.channel().try_recv(), std::nullopt) << "it fired, but was not asked for in time";
            }
          }
        });
      }
      group.wait();
      EXPECT_EQ(rt::read_stats().timers, 0U);
    });
  }
}

// Handles are dropped while the timer fires.
TEST_P(timer_races, the_last_handle_goes_while_it_fires) {
  for (unsigned seed = 1; seed <= 4; ++seed) {
    SCOPED_TRACE("seed = " + std::to_string(seed));
    run([seed] {
      rt::wait_group group;
      for (unsigned g = 0; g < 4; ++g) {
        group.go([=] {
          std::mt19937 random(seed * 100 + g);
          for (int i = 0; i < scaled(2000); ++i) {
            {
              rt::ticker ticker(1us + some_us(random, 20));
              rt::timer timer(some_us(random, 20));
              if (random() % 2 == 0) ticker.channel();
              if (random() % 2 == 0) timer.channel();
              if (random() % 4 == 0) rt::go([timer] { rt::yield(); });
              if (random() % 2 == 0) rt::sleep_for(some_us(random, 30));
            }
            if (i % 16 == 0) rt::yield();
          }
        });
      }
      group.wait();
      EXPECT_TRUE(rt_test::eventually([] { return rt::read_stats().timers == 0; }));
    });
  }
}

// The number of Ps changes, so timers move between heaps, while others arm and stop them.
TEST_P(timer_races, heaps_come_and_go) {
  run([] {
    std::atomic<bool> over{false};
    rt::wait_group group;
    for (unsigned g = 0; g < 4; ++g) {
      group.go([&over, g] {
        std::mt19937 random(g);
        std::vector<rt::timer> timers;
        for (int i = 0; i < 50; ++i) timers.emplace_back(1h);
        while (!over) {
          rt::timer& one = timers[random() % timers.size()];
          EXPECT_TRUE(one.stop());
          EXPECT_FALSE(one.reset(1h + some_us(random, 1000)));
          rt::yield();
        }
        for (rt::timer& one : timers) EXPECT_TRUE(one.stop());
      });
    }
    for (int i = 0; i < scaled(100); ++i) {
      rt::max_procs(1 + i % 4);
      rt::sleep_for(100us);
    }
    over = true;
    group.wait();
    EXPECT_EQ(rt::read_stats().timers, 0U);
  });
}

}  // namespace
