// CPU seconds of a group against what the kernel says.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <string>

#include "rt/rt.h"
#include "tests/runtime/sched/groups.h"

namespace {

using namespace std::chrono_literals;
RT_ON_PROCS(cpu_time);

double process_seconds() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  auto seconds = [](const timeval& one) {
    return static_cast<double>(one.tv_sec) + static_cast<double>(one.tv_usec) * 1e-6;
  };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

// What the kernel counts for the Ms alone: sysmon and threads of the test use time as well, a tenth of it when they are
// woken often on a busy machine.
double worker_seconds() {
  double seconds = 0;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::string name;
    std::getline(std::ifstream(task.path() / "comm") >> std::ws, name);
    double nanoseconds = 0;
    if (name == "rt-worker" && std::ifstream(task.path() / "schedstat") >> nanoseconds) seconds += nanoseconds * 1e-9;
  }
  return seconds;
}

// Until this process has used that much CPU time, whatever else the machine does.
void hog_until(double process_total) {
  while (process_seconds() < process_total) {
    for (int i = 0; i < 1000; ++i) rt::checkpoint();
  }
}

TEST_P(cpu_time, of_hogs_is_what_the_kernel_says) {
  run([] {
    rt_test::test_group first("first");
    rt_test::test_group second("second");
    const double before = process_seconds();
    const double workers_before = worker_seconds();
    if (workers_before == 0) GTEST_SKIP() << "this kernel has no schedstat";
    const double length = 1.0;
    for (int i = 0; i < 2 * rt::max_procs(); ++i) {
      first.go([=] { hog_until(before + length); });
      second.go([=] { hog_until(before + length); });
    }
    first.wait();
    second.wait();
    const double used = worker_seconds() - workers_before;
    const double charged = first.of.cpu_seconds() + second.of.cpu_seconds();
    EXPECT_NEAR(charged, used, 0.05 * used);
  });
}

TEST_P(cpu_time, includes_the_slice_that_runs) {
  run([] {
    rt_test::test_group hog("hog");
    hog.go([&] {
      const std::uint64_t retakes = rt::read_stats().retakes_total;
      const double before = process_seconds();
      double last = 0;
      // It makes no runtime call, so nothing is charged meanwhile.
      while (process_seconds() < before + 0.05) {
        double now = hog.of.cpu_seconds();
        EXPECT_GE(now, last);
        last = now;
      }
      // On a busy machine its P may have been taken; what it computes without one is charged when it has one again.
      if (rt::read_stats().retakes_total != retakes) return;
      EXPECT_GE(last, 0.02);  // the rest went to other threads of the process
    });
    hog.wait();
  });
}

TEST_P(cpu_time, never_goes_back) {
  run([] {
    rt_test::test_group hogs("hogs");
    rt_test::test_group reader("reader");
    std::atomic<bool> stop{false};
    for (int i = 0; i < 2 * rt::max_procs(); ++i) {
      hogs.go([&] {
        while (!stop) rt::yield();
      });
    }
    reader.go([&] {
      double last = 0;
      for (int i = 0; i < rt_test::scaled(2000); ++i) {
        double now = hogs.of.cpu_seconds();
        EXPECT_GE(now, last);
        last = now;
        rt::yield();
      }
      stop = true;
    });
    reader.wait();
    hogs.wait();
  });
}

TEST_P(cpu_time, does_not_count_sleep_in_a_system_call) {
  run([] {
    rt_test::test_group sleeper("sleeper");
    sleeper.go([] {
      timespec length{0, 200'000'000};
      nanosleep(&length, nullptr);  // nothing tells the runtime
    });
    sleeper.wait();
    EXPECT_LT(sleeper.of.cpu_seconds(), 0.1);
  });
}

double thread_seconds() {
  timespec used{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
  return static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) * 1e-9;
}

TEST_P(cpu_time, includes_what_is_computed_in_a_blocking_call) {
  run([] {
    rt_test::test_group caller("caller");
    double computed = 0;
    caller.go([&] {
      rt::blocking([&] {
        const double before = thread_seconds();
        while (computed < 0.02) computed = thread_seconds() - before;
      });
      // What the M charges afterwards is not taken for part of that.
      hog_until(process_seconds() + 0.01);
    });
    caller.wait();
    EXPECT_GE(caller.of.cpu_seconds(), computed);
    EXPECT_LT(caller.of.cpu_seconds(), 2 * computed + 0.01);
  });
}

TEST_P(cpu_time, waits_in_queues_are_measured_for_each_group) {
  run([] {
    rt_test::test_group waiting("waiting");
    rt_test::test_group idle("idle");
    for (int i = 0; i < 4 * rt::max_procs(); ++i) {
      waiting.go([] {
        for (int k = 0; k < 20'000; ++k) rt::yield();
      });
    }
    waiting.wait();
    rt::detail::group::queue_waits waits = waiting.of.waits();
    EXPECT_GT(waits.count, 0U);
    EXPECT_GT(waits.seconds, 0.0);
    EXPECT_EQ(idle.of.waits().count, 0U);
    rt::runtime_stats stats = rt::read_stats();
    std::uint64_t slices = 0;
    for (std::uint64_t one : stats.slice_buckets) slices += one;
    EXPECT_GT(slices, 0U);
    EXPECT_GT(stats.slice_seconds_sum, 0.0);
    EXPECT_EQ(stats.slice_buckets.size(), rt::sched_duration_bounds().size() + 1);
  });
}

// Each of the two makes way for the sleeper and it for the other, so that they come to every second tick. A sample of
// each 64th tick sees all of them or none, as the first tick has it.
TEST(samples, see_long_slices_whatever_tick_they_began_at) {
  rt_test::in_runtime(1, [] {
    for (int first_tick = 0; first_tick < 4; ++first_tick) {
      rt_test::test_group turns("turns");
      for (int i = 0; i < first_tick; ++i) rt::yield();
      for (int i = 0; i < 2; ++i) {
        turns.go([] {
          for (int k = 0; k < 150; ++k) {
            for (auto until = rt::now() + 400us; rt::now() < until;) {
            }
            rt::yield();
          }
        });
      }
      while (turns.of.live() != 0) rt::sleep_for(200us);
      EXPECT_GT(turns.of.waits().count, 0U) << "first tick " << first_tick;
      EXPECT_LT(turns.of.waits().count, 100U) << "first tick " << first_tick;
    }
  });
}

TEST_P(cpu_time, long_slices_are_seen_in_the_histogram) {
  run([] {
    std::atomic<bool> stop{false};
    rt::scope scope;
    // Slices of 2 ms at least: bucket 6 is from 1.024 to 4.096 ms, and the kernel can only make them longer.
    for (int i = 0; i < 2 * rt::max_procs(); ++i) {
      scope.go([&] {
        while (!stop) {
          for (auto until = rt::now() + 2ms; rt::now() < until;) {
          }
          rt::yield();
        }
      });
    }
    EXPECT_TRUE(rt_test::eventually([] {
      rt::runtime_stats stats = rt::read_stats();
      std::uint64_t long_ones = 0;
      for (std::size_t i = 6; i < stats.slice_buckets.size(); ++i) long_ones += stats.slice_buckets[i];
      return long_ones > 0;
    }));
    stop = true;
    scope.wait();
  });
}

}  // namespace
