// Weights and the latency class in a running scheduler. What is compared is CPU time that the process really got, or
// decisions, so that a busy machine changes nothing.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

#include "rt/rt.h"
#include "runtime/os/clock.h"
#include "tests/runtime/sched/groups.h"

namespace {

using namespace std::chrono_literals;
using rt::detail::share_class;
using rt_test::test_group;
RT_ON_PROCS(shares);

// Polls as fast as it can. Slices end when sysmon asks (10 ms) or, to have more of them, after `slice`.
void hog(const std::atomic<bool>& stop, rt::duration slice = 10ms) {
  while (!stop) {
    for (auto until = rt::now() + slice; rt::now() < until && !stop;) rt::checkpoint();
    rt::yield();
  }
}

struct measured {
  double first;
  double second;
};

// Runs hogs of both groups, of the second one two for each P and of the first one `more` times as many, until they have
// used `seconds` of CPU time altogether. Two, so that one that can run is left when the kernel keeps the other one's
// thread off its CPU for so long that its P is taken: else that P could only run the first group.
measured compete(test_group& first, test_group& second, double seconds, rt::duration slice, int more = 1) {
  std::atomic<bool> stop{false};
  std::atomic<int> begun{0};
  auto begin = [&] {
    ++begun;
    hog(stop, slice);
  };
  const int procs = rt::max_procs();
  for (int i = 0; i < 2 * procs; ++i) {
    second.go(begin);
    for (int k = 0; k < more; ++k) first.go(begin);
  }
  // Before all have begun, those that have are alone.
  while (begun < 2 * procs * (1 + more)) rt::sleep_for(1ms);
  measured before{first.of.cpu_seconds(), second.of.cpu_seconds()};
  measured result{0, 0};
  while (result.first + result.second < seconds) {
    rt::sleep_for(5ms);
    result = {first.of.cpu_seconds() - before.first, second.of.cpu_seconds() - before.second};
  }
  stop = true;
  first.wait();
  second.wait();
  return result;
}

TEST_P(shares, equal_weights_get_the_same) {
  run([] {
    test_group first("first", 200);
    test_group second("second", 200);
    measured got = compete(first, second, 1.0, 200us);
    EXPECT_NEAR(got.first / got.second, 1.0, 0.2);
  });
}

TEST_P(shares, one_to_a_hundred) {
  run([] {
    test_group batch("batch", 1);
    test_group normal("normal", 100);
    measured got = compete(batch, normal, 1.5, 200us);
    EXPECT_GT(got.first, 0.0);
    EXPECT_GT(got.second / got.first, 50.0);
    EXPECT_LT(got.second / got.first, 200.0);
  });
}

// A yield is a choice too: with short slices no other one is ever made.
TEST_P(shares, those_that_only_yield_share_by_weight) {
  run([] {
    test_group light("light", 10);
    test_group heavy("heavy", 200);
    measured got = compete(light, heavy, 0.5, 0ns);
    EXPECT_GT(got.second / got.first, 10.0);
    EXPECT_LT(got.second / got.first, 40.0);
  });
}

TEST_P(shares, a_task_with_many_green_threads_gets_no_more_than_one_with_few) {
  run([] {
    test_group many("many", 100);
    test_group few("few", 300);
    measured got = compete(many, few, 1.0, 200us, 10);
    EXPECT_GT(got.second / got.first, 2.0);
    EXPECT_LT(got.second / got.first, 4.5);
  });
}

TEST_P(shares, a_weight_changes_while_the_task_runs) {
  run([] {
    test_group first("first", 100);
    test_group second("second", 100);
    std::atomic<bool> stop{false};
    for (int i = 0; i < rt::max_procs(); ++i) {
      first.go([&] { hog(stop, 200us); });
      second.go([&] { hog(stop, 200us); });
    }
    for (std::uint32_t weight : {1000U, 100U, 10U}) {
      first.of.set_share(weight, share_class::normal);
      double first_before = first.of.cpu_seconds();
      double second_before = second.of.cpu_seconds();
      double used_first = 0;
      double used_second = 0;
      while (used_first + used_second < 0.5) {
        rt::sleep_for(5ms);
        used_first = first.of.cpu_seconds() - first_before;
        used_second = second.of.cpu_seconds() - second_before;
      }
      double wanted = weight / 100.0;
      if (weight == 100) continue;  // not by weight now: one ring, in which both have as many
      EXPECT_GT(used_first / used_second, wanted / 3);
      EXPECT_LT(used_first / used_second, wanted * 3);
    }
    stop = true;
    first.wait();
    second.wait();
  });
}

// Decisions of the others between the wake-up of one and its run.
struct latency_probe {
  std::atomic<std::uint64_t> slices{0};
  std::vector<std::uint64_t> waited;
  std::uint64_t percentile(double part) {
    std::sort(waited.begin(), waited.end());
    return waited[static_cast<std::size_t>(static_cast<double>(waited.size() - 1) * part)];
  }
};

TEST_P(shares, the_latency_class_waits_for_no_queue) {
  run([] {
    test_group batch("batch", 1);
    test_group latency("latency", 100, share_class::latency);
    latency_probe probe;
    std::atomic<bool> stop{false};
    const int hogs = 8 * rt::max_procs();
    for (int i = 0; i < hogs; ++i) {
      batch.go([&] {
        while (!stop) {
          ++probe.slices;
          for (auto until = rt::now() + 100us; rt::now() < until;) rt::checkpoint();
          rt::yield();
        }
      });
    }
    rt::chan<std::uint64_t> wake(1);
    latency.go([&] {
      while (std::optional<std::uint64_t> at = wake.recv()) probe.waited.push_back(probe.slices - *at);
    });
    // One of the batch tasks wakes it: a slice of its own P, which makes way at once, or of another one.
    test_group waker("waker");
    waker.go([&] {
      const int rounds = rt_test::scaled(1000);
      for (int i = 0; i < rounds; ++i) {
        wake.send(probe.slices);
        for (auto until = rt::now() + 100us; rt::now() < until;) rt::checkpoint();
        rt::yield();
      }
      wake.close();
    });
    waker.wait();
    latency.wait();
    stop = true;
    batch.wait();
    // Behind the queue it would be 8 slices for each P. With more Ps than CPUs, the kernel decides who goes on.
    if (GetParam() == 1) {
      EXPECT_LE(probe.percentile(0.99), 1U);
    }
    EXPECT_LE(probe.percentile(0.5), 2U);
  });
}

TEST_P(shares, the_latency_class_does_not_starve_the_others) {
  run([] {
    test_group latency("latency", 1, share_class::latency);
    test_group batch("batch", 1);
    measured got = compete(latency, batch, 1.0, 200us);
    // Half by its class, and half of the rest by weight at most; of Ps, so what it is of CPU time where there are more
    // Ps than CPUs is for the kernel to say.
    EXPECT_GT(got.second, (GetParam() == 1 ? 0.15 : 0.01) * (got.first + got.second));
    EXPECT_GT(got.first, 0.3 * (got.first + got.second));
  });
}

TEST_P(shares, a_latency_task_that_yields_for_ever_lets_others_run) {
  run([] {
    test_group latency("latency", 100, share_class::latency);
    test_group batch("batch", 1);
    std::atomic<bool> stop{false};
    for (int i = 0; i < 2 * rt::max_procs(); ++i) {
      latency.go([&] {
        while (!stop) rt::yield();
      });
    }
    std::atomic<int> progress{0};
    batch.go([&] {
      for (int i = 0; i < 3; ++i) {
        ++progress;
        rt::yield();
      }
    });
    EXPECT_TRUE(rt_test::eventually([&] { return progress == 3; }));
    stop = true;
    latency.wait();
    batch.wait();
  });
}

// Everything that puts green threads into queues, while weights come and go and the number of Ps changes: all work is
// done in the end, or this hangs.
TEST_P(shares, nobody_is_lost_when_weights_come_and_go) {
  run([] {
    test_group first("first");
    test_group second("second");
    test_group third("third");
    std::atomic<bool> stop{false};
    std::atomic<std::uint64_t> done{0};
    test_group* groups[] = {&first, &second, &third};
    constexpr int chains = 6;
    for (int c = 0; c < chains; ++c) {
      groups[c % 3]->go([&, c] {
        rt::chan<int> there(c % 2 == 0 ? 0 : 4);
        rt::wait_group others;
        // The receiver is of another group: wake-ups go across.
        others.add(1);
        groups[(c + 1) % 3]->go([&] {
          while (there.recv()) {
          }
          others.done();
        });
        for (int i = 0; !stop; ++i) {
          there.send(i);
          if (i % 7 == 0) others.go([] { rt::yield(); });
          if (i % 31 == 0) rt::sleep_for(20us);
          ++done;
        }
        there.close();
        others.wait();
      });
    }
    std::thread outside([&] {
      while (!stop) {
        first.go([&] { ++done; });
        second.go([] { rt::sleep_for(10us); });
        std::this_thread::sleep_for(100us);
      }
    });
    const int rounds = rt_test::scaled(300);
    for (int i = 0; i < rounds; ++i) {
      std::uint64_t before = done;
      third.of.set_share(i % 3 == 0 ? 100 : 1 + static_cast<std::uint32_t>(i) * 37 % 10'000,
                         i % 5 == 0 ? share_class::latency : share_class::normal);
      if (i % 50 == 49) rt::max_procs(1 + i % 4);
      EXPECT_TRUE(rt_test::eventually([&] { return done > before; }));
      rt::sleep_for(200us);
    }
    stop = true;
    rt::blocking([&] { outside.join(); });
    for (test_group* one : groups) one->wait();
  });
}

}  // namespace
