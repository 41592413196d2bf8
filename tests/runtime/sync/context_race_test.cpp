// Races of contexts, by chance: each with its seed.
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <vector>

#include "rt/rt.h"
#include "tests/runtime/in_runtime.h"
#include "tests/runtime/seeds.h"

namespace {

using namespace std::chrono_literals;
using rt_test::scaled;
RT_ON_PROCS(context_races);

// Between 0 and 40 us of computing or yielding.
void linger(std::mt19937& random) {
  unsigned kind = random() % 4;
  if (kind == 0) return;
  if (kind == 1) {
    rt::yield();
    return;
  }
  rt::time_point until = rt::now() + std::chrono::nanoseconds(random() % 40'000);
  while (rt::now() < until) rt::checkpoint();
}

// A receiver that leaves by its context has not taken the value with it.
TEST_P(context_races, cancel_against_wake) {
  rt_test::seeds seeds;
  run([&] {
    std::mt19937 random = seeds.source(0);
    int received = 0;
    int left = 0;
    for (int round = 0; round < scaled(5000); ++round) {
      rt::chan<int> values;
      rt::cancellable_context work = rt::with_cancel(rt::background());
      rt::chan<bool> outcome(1);
      rt::go([&, values, work] {
        try {
          EXPECT_EQ(values.recv(work), 7);
          outcome.send(true);
        } catch (const rt::context_error&) {
          outcome.send(false);
        }
      });
      rt::chan<bool> cancelled(1);
      rt::go([work, cancelled, mine = seeds.source(random())]() mutable {
        linger(mine);
        work.cancel();
        cancelled.send(true);
      });
      linger(random);
      int value = 7;
      bool sent = values.try_send(std::move(value));
      bool got = *outcome.recv();
      cancelled.recv();
      EXPECT_EQ(sent, got);
      (got ? received : left)++;
    }
    EXPECT_EQ(received + left, scaled(5000));
  });
}

TEST_P(context_races, stop_of_after_func_against_its_run) {
  rt_test::seeds seeds;
  run([&] {
    std::mt19937 random = seeds.source(0);
    std::size_t before = rt::num_green_threads();
    for (int round = 0; round < scaled(5000); ++round) {
      rt::cancellable_context work = rt::with_cancel(rt::background());
      auto ran = std::make_shared<std::atomic<int>>(0);
      rt::chan<int> has_run(1);
      rt::after_func_handle handle = rt::after_func(work, [ran, has_run] {
        ++*ran;
        has_run.send(1);
      });
      rt::wait_group canceller;
      canceller.go([work, mine = seeds.source(random())]() mutable {
        linger(mine);
        work.cancel();
      });
      linger(random);
      bool stopped = handle.stop();
      canceller.wait();
      if (!stopped) has_run.recv();
      EXPECT_EQ(ran->load(), stopped ? 0 : 1);
      EXPECT_FALSE(handle.stop());
    }
    EXPECT_TRUE(rt_test::eventually([&] { return rt::num_green_threads() == before; }));
  });
}

// Trees that grow, end at any place, time out and are dropped, all at once.
TEST_P(context_races, trees) {
  rt_test::seeds seeds;
  run([&] {
    std::atomic<int> alive{0};
    struct counted {
      explicit counted(std::atomic<int>& count) : alive(&count) { ++*alive; }
      counted(const counted& other) : alive(other.alive) { ++*alive; }
      counted& operator=(const counted&) = delete;
      ~counted() { --*alive; }
      std::atomic<int>* alive;
    };
    static const rt::context_key<counted> life;
    std::uint64_t timers = rt::read_stats().timers;
    for (int round = 0; round < scaled(40); ++round) {
      rt::cancellable_context root = rt::with_cancel(rt::background());
      rt::mutex lock;
      std::vector<rt::cancellable_context> shared{root};
      rt::wait_group all;
      for (unsigned worker = 0; worker < 6; ++worker) {
        all.go([&, random = seeds.source(static_cast<unsigned>(round) * 100 + worker)]() mutable {
          auto pick = [&] {
            std::scoped_lock guard(lock);
            return shared[random() % shared.size()];
          };
          for (int step = 0; step < 100; ++step) {
            rt::cancellable_context one = pick();
            rt::cancellable_context made;
            switch (random() % 8) {
              case 0:
                if (random() % 16 == 0) one.cancel(std::make_exception_ptr(step));
                continue;
              case 1:
                made = rt::with_timeout(one, std::chrono::nanoseconds(random() % 100'000));
                break;
              case 2:
                made = rt::with_cancel(rt::with_value(one, life, counted(alive)));
                break;
              case 3: {
                std::scoped_lock guard(lock);
                if (shared.size() > 1) shared.erase(shared.begin() + 1 + random() % (shared.size() - 1));
                continue;
              }
              case 4: {
                rt::context_scope obey(one);
                try {
                  rt::sleep_for(std::chrono::nanoseconds(random() % 50'000));
                } catch (const rt::context_error& error) {
                  EXPECT_TRUE(one.ended());
                  EXPECT_EQ(error.code(), one.error());
                }
                continue;
              }
              case 5:
                EXPECT_TRUE(!one.ended() || one.done().is_closed() ||
                            rt_test::eventually([&] { return one.done().is_closed(); }));
                continue;
              default:
                made = rt::with_cancel(one);
                break;
            }
            std::scoped_lock guard(lock);
            shared.push_back(made);
          }
        });
      }
      all.wait();
      root.cancel();
      for (const auto& one : shared) EXPECT_TRUE(rt_test::eventually([&] { return one.ended(); }));
      shared.clear();
      root = rt::cancellable_context();
      EXPECT_EQ(alive.load(), 0);
    }
    EXPECT_EQ(rt::read_stats().timers, timers);
  });
}

// Many green threads in one context, ended by a timer.
TEST_P(context_races, a_deadline_wakes_a_crowd) {
  run([] {
    for (int round = 0; round < 5; ++round) {
      rt::cancellable_context work = rt::with_timeout(rt::background(), 2ms);
      rt::chan<int> empty;
      std::atomic<int> left{0};
      rt::wait_group all;
      for (int i = 0; i < 500; ++i) {
        all.go([&] {
          try {
            empty.recv(work);
          } catch (const rt::context_error& error) {
            EXPECT_EQ(error.code(), std::errc::timed_out);
            ++left;
          }
        });
      }
      all.wait();
      EXPECT_EQ(left.load(), 500);
    }
  });
}

}  // namespace
