#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "rt/rt.h"
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

// Work that one P has is taken over by the others.
TEST(stealing, spreads_work) {
  rt_test::in_runtime(4, [] {
    rt::wait_group group;
    for (int i = 0; i < 400; ++i) {
      group.go([] {
        for (int j = 0; j < 20; ++j) {
          volatile int spin = 0;
          while (spin < 20000) spin = spin + 1;
          rt::yield();
        }
      });
    }
    group.wait();
    EXPECT_GT(rt::read_stats().steals_total, 0U);
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
    EXPECT_GE(rt::read_stats().preemptions_total, 1U);
  });
}

}  // namespace
