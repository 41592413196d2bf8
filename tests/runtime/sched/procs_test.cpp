#include <gtest/gtest.h>

#include <atomic>
#include <cstdio>
#include <random>
#include <thread>

#include "rt/rt.h"
#include "runtime/os/clock.h"
#include "runtime/sched/park.h"
#include "runtime/sched/scheduler.h"
#include "tests/runtime/in_runtime.h"

namespace {

using namespace std::chrono_literals;
RT_ON_PROCS(changing_procs);

TEST_P(changing_procs, under_load_loses_nothing) {
  run([] {
    std::atomic<bool> stop{false};
    std::atomic<long> sum{0};
    rt::chan<int> work(16);
    rt::wait_group group;
    for (int i = 0; i < 8; ++i) {
      group.go([&] {
        for (int value : work) sum += value;
      });
    }
    long sent = 0;
    rt::wait_group senders;
    std::atomic<long> total{0};
    for (int i = 0; i < 4; ++i) {
      senders.go([&] {
        while (!stop) {
          work.send(1);
          ++total;
        }
      });
    }
    rt::wait_group sleepers;
    for (int i = 0; i < 50; ++i) {
      sleepers.go([&] {
        while (!stop) rt::sleep_for(200us);
      });
    }
    for (int round = 0; round < rt_test::scaled(40); ++round) {
      for (int procs : {1, 4, 2, 7, 3}) {
        rt::max_procs(procs);
        EXPECT_EQ(rt::max_procs(), procs);
        rt::yield();
      }
    }
    stop = true;
    senders.wait();
    sleepers.wait();
    work.close();
    group.wait();
    sent = total.load();
    EXPECT_EQ(sum.load(), sent);
  });
}

TEST_P(changing_procs, from_a_foreign_thread) {
  run([] {
    std::atomic<bool> done{false};
    std::thread outside([&] {
      for (int procs : {3, 1, 2, 5}) rt::max_procs(procs);
      done = true;
    });
    while (!done) rt::yield();
    rt::blocking([&] { outside.join(); });
    EXPECT_EQ(rt::max_procs(), 5);
  });
}

TEST_P(changing_procs, bad_numbers_are_refused) {
  run([] {
    int before = rt::max_procs();
    EXPECT_THROW(rt::max_procs(257), std::invalid_argument);
    EXPECT_EQ(rt::max_procs(0), before);
    EXPECT_EQ(rt::max_procs(-5), before);
  });
}

// Whether the runnexts of the caller's P wake nobody any more.
bool wakes_nobody() {
  const rt::detail::processor* p = rt::detail::current_worker()->p;  // null when it was taken
  return p != nullptr && p->vain_wakes.load(std::memory_order_relaxed) == rt::detail::enough_vain_wakes;
}

void start_and_wait(int times) {
  rt::wait_group group;
  for (int i = 0; i < times; ++i) {
    group.go([] {});
    group.wait();
  }
}

// Whether no thief can be told to leave the ones alone that wake each other.
const char* why_all_are_robbed() {
#if defined(__SANITIZE_THREAD__)
  return "ThreadSanitizer makes a wake-up longer than the 3 us for which a thief leaves a runnext to its owner";
#else
  return rt::num_cpu() < 2 ? "on one CPU a thief finds everybody off it, and takes what they have" : nullptr;
#endif
}

// A green thread that starts others and waits for each is left to its P, and wakes nobody (scheduler.h, invariant 3).
TEST(stealing, is_not_asked_for_by_those_who_wake_each_other) {
  if (const char* reason = why_all_are_robbed(); reason != nullptr) GTEST_SKIP() << reason;
  rt_test::in_runtime(2, [] {
    EXPECT_TRUE(rt_test::eventually([] {
      start_and_wait(2000);
      const rt::runtime_stats before = rt::read_stats();
      // Else a wake-up would be left out for other reasons.
      if (!wakes_nobody() || before.idle_procs == 0 || before.threads_spinning != 0) return false;
      start_and_wait(100);
      return rt::read_stats().wakeups_total == before.wakeups_total;
    }));
  });
}

// When it computes on instead of waiting, the one that it has started is taken to another P all the same; and then
// others are woken again.
TEST(stealing, takes_a_runnext_that_woke_nobody) {
  if (const char* reason = why_all_are_robbed(); reason != nullptr) GTEST_SKIP() << reason;
  rt_test::in_runtime(2, [] {
    // Again when the slice ended, or the P was taken, before a CPU was found for the thief.
    EXPECT_TRUE(rt_test::eventually([] {
      start_and_wait(2000);
      const rt::runtime_stats before = rt::read_stats();
      if (!wakes_nobody() || before.threads_spinning != 0) return false;
      rt::wait_group group;
      std::atomic<bool> ran{false};
      group.go([&] { ran = true; });
      while (!ran) {
      }
      const bool wakes_again = !wakes_nobody();
      group.wait();
      const rt::runtime_stats after = rt::read_stats();
      return after.steals_total > before.steals_total && wakes_again && after.freezes_total == before.freezes_total &&
             after.retakes_total == before.retakes_total;
    }));
  });
}

// Work that one P has is taken over by the others. Fewer than a ring takes, so that the others find nothing in the
// global queue. On a busy machine they may get no CPU before one has done it all: then once more.
TEST(stealing, spreads_work) {
  rt_test::in_runtime(4, [] {
    EXPECT_TRUE(rt_test::eventually([] {
      rt::wait_group group;
      for (int i = 0; i < 200; ++i) {
        group.go([] {
          for (int j = 0; j < 10; ++j) {
            volatile int spin = 0;
            while (spin < 20000) spin = spin + 1;
            rt::yield();
          }
        });
      }
      group.wait();
      return rt::read_stats().steals_total > 0;
    }));
  });
}

RT_ON_PROCS(stopping);

// Whoever looked for work when the world was stopped must not be taken for one that still does when it starts: no other
// stop comes to make up for it here.
TEST_P(stopping, leaves_no_timer_and_no_work_to_nobody) {
  const unsigned seed = std::random_device{}();
  std::printf("RT_TEST_SEED=%u\n", seed);
  run([seed] {
    std::atomic<bool> end{false};
    std::atomic<long> ticks{0};
    rt::wait_group sleepers;
    for (int i = 0; i < 4; ++i) {
      sleepers.go([&] {
        while (!end) {
          rt::sleep_for(20us);
          ++ticks;
        }
      });
    }
    std::thread stopper([&, random = std::minstd_rand(seed)]() mutable {
      for (int i = 0; i < rt_test::scaled(250) && !end; ++i) {
        for (unsigned wait = random() % 4000; wait != 0; --wait) rt::os::cpu_pause();
        rt::detail::the_scheduler()->stop_the_world();
        long before = ticks;
        rt::detail::the_scheduler()->start_the_world();
        const auto until = std::chrono::steady_clock::now() + 30s;
        while (ticks == before && std::chrono::steady_clock::now() < until) std::this_thread::yield();
        if (ticks != before) continue;
        ADD_FAILURE() << "after stop " << i << " nobody looks at the timers";
        break;
      }
      end = true;
    });
    sleepers.wait();
    rt::blocking([&] { stopper.join(); });
  });
}

TEST(preemption, a_long_slice_makes_way_at_its_next_call_of_the_runtime) {
  rt_test::in_runtime(1, [] {
    std::atomic<bool> other_ran{false};
    rt::go([&] { other_ran = true; });
    auto start = rt::now();
    while (!other_ran && rt::now() - start < 10s) rt::checkpoint();
    EXPECT_TRUE(other_ran);
    EXPECT_LT(rt::now() - start, 5s);
    // On a busy machine the kernel may have put it off its CPU for so long that its P was taken instead.
    EXPECT_GE(rt::read_stats().preemptions_total + rt::read_stats().retakes_total, 1U);
  });
}

}  // namespace
