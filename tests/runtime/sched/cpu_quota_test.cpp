// The CPU quota of a group, whatever its green threads do.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <vector>

#include "rt/rt.h"
#include "runtime/sched/scheduler.h"
#include "tests/runtime/computing.h"
#include "tests/runtime/in_runtime.h"
#include "tests/runtime/sched/groups.h"

namespace {

using rt_test::eventually;
using rt_test::test_group;
using namespace std::chrono_literals;

RT_ON_PROCS(cpu_quotas);

double seconds_since(rt::time_point begin) { return std::chrono::duration<double>(rt::now() - begin).count(); }

// Waits until the group was throttled so often, and until the last time is over: only then it has paid for what it used
// before the monitor noticed, which is much where that came late. Returns what part of a CPU it has used meanwhile.
double part_used(const test_group& task, std::uint64_t throttles) {
  const rt::time_point begin = rt::now();
  const double before = task.of.cpu_seconds();
  const std::uint64_t last = task.of.throttled().count + throttles;
  EXPECT_TRUE(eventually([&] {
    const std::uint64_t count = task.of.throttled().count;
    return count > last || (count == last && task.of.share.quota.throttled_since.load() == 0);
  }));
  return (task.of.cpu_seconds() - before) / seconds_since(begin);
}

// A loop that never calls takes a whole CPU, or what the machine gives; with a quota of a tenth it must be far from it,
// however late the monitor was.
TEST_P(cpu_quotas, bind_a_loop_without_calls) {
  run([] {
    test_group task("bounded");
    task.of.set_cpu_quota(0.1);
    std::atomic<bool> stop{false};
    task.go([&] { rt_test::compute_until(stop); });
    EXPECT_LT(part_used(task, 3), 0.5);
    stop = true;
    task.of.set_cpu_quota(0);
    task.wait();
    EXPECT_GT(task.of.throttled().seconds, 0);
  });
}

TEST_P(cpu_quotas, bind_many_loops_on_all_processors_together) {
  run([] {
    test_group task("bounded");
    task.of.set_cpu_quota(0.1);
    std::atomic<bool> stop{false};
    for (int i = 0; i < 10; ++i) task.go([&] { rt_test::compute_until(stop); });
    EXPECT_LT(part_used(task, 3), 0.6);
    stop = true;
    task.of.set_cpu_quota(0);
    task.wait();
  });
}

TEST_P(cpu_quotas, bind_those_who_wake_each_other) {
  run([] {
    test_group task("bounded");
    task.of.set_cpu_quota(0.1);
    rt::chan<int> there;
    rt::chan<int> back;
    std::atomic<bool> stop{false};
    task.go([=, &stop]() mutable {
      while (!stop.load()) {
        there.send(1);
        back.recv();
      }
      there.close();
    });
    task.go([=]() mutable {
      while (there.recv()) back.send(1);
    });
    EXPECT_LT(part_used(task, 3), 0.5);
    stop = true;
    task.of.set_cpu_quota(0);
    task.wait();
  });
}

TEST_P(cpu_quotas, bind_one_that_yields_and_one_that_is_locked_to_its_thread) {
  run([] {
    test_group task("bounded");
    task.of.set_cpu_quota(0.1);
    std::atomic<bool> stop{false};
    task.go([&] {
      while (!stop.load()) rt::yield();
    });
    task.go([&] {
      rt::lock_os_thread();
      rt_test::compute_until(stop);
      rt::unlock_os_thread();
    });
    EXPECT_LT(part_used(task, 3), 0.6);
    stop = true;
    task.of.set_cpu_quota(0);
    task.wait();
  });
}

// Both want all of the machine, with the same weight: without the quota they would get the same, however much that is.
TEST_P(cpu_quotas, leave_the_rest_to_others) {
  run([] {
    test_group task("bounded");
    test_group other("other");
    task.of.set_cpu_quota(0.01);
    std::atomic<bool> stop{false};
    for (int i = 0; i < 2 * rt::max_procs(); ++i) {
      task.go([&] { rt_test::compute_until(stop); });
      other.go([&] { rt_test::compute_until(stop); });
    }
    EXPECT_TRUE(eventually(
        [&] { return task.of.throttled().count >= 1 && other.of.cpu_seconds() > 2 * task.of.cpu_seconds(); }));
    EXPECT_EQ(other.of.throttled().count, 0U);
    stop = true;
    task.of.set_cpu_quota(0);
    task.wait();
    other.wait();
  });
}

TEST_P(cpu_quotas, that_are_not_used_throttle_nobody) {
  run([] {
    test_group task("bounded");
    task.of.set_cpu_quota(100);
    std::atomic<bool> stop{false};
    task.go([&] { rt_test::compute_until(stop); });
    rt::sleep_for(150ms);  // a period is over
    stop = true;
    task.wait();
    EXPECT_EQ(task.of.throttled().count, 0U);
  });
}

TEST_P(cpu_quotas, may_be_taken_away_from_one_that_is_throttled) {
  run([] {
    test_group task("bounded");
    task.of.set_cpu_quota(0.01);
    std::atomic<bool> stop{false};
    std::atomic<std::uint64_t> turns{0};
    task.go([&] {
      while (!stop.load()) {
        rt_test::compute_a_little();
        turns.fetch_add(1, std::memory_order_relaxed);
      }
    });
    EXPECT_TRUE(eventually([&] { return task.of.throttled().count >= 1; }));
    task.of.set_cpu_quota(0);
    const std::uint64_t before = turns.load();
    EXPECT_TRUE(eventually([&] { return turns.load() > before + 1000; }));
    EXPECT_FALSE(rt::detail::fair_queue::in_use());
    stop = true;
    task.wait();
    EXPECT_EQ(task.of.share.quota.throttled_since.load(), 0);
  });
}

TEST_P(cpu_quotas, are_told_and_leave_nothing_behind) {
  run([] {
    for (int i = 0; i < 2; ++i) {
      std::atomic<bool> stop{false};  // before the group, whose end waits for the one that reads it
      test_group task("bounded");
      task.of.set_cpu_quota(0.1);
      task.go([&] {
        while (!stop.load()) rt::checkpoint();
      });
      EXPECT_TRUE(eventually([&] { return task.of.throttled().count >= 1; }));
      EXPECT_TRUE(eventually(
          [&] { return task.of.limits.take() == rt::detail::met_limits::bit(rt::detail::limit_kind::cpus); }));
      stop = true;  // it ends with its quota, when it has some again
    }
    EXPECT_FALSE(rt::detail::fair_queue::in_use());
  });
}

// Collections, and a change of the number of Ps, while green threads are throttled.
TEST_P(cpu_quotas, do_not_hold_up_a_stop_of_the_world) {
  run([] {
    test_group task("bounded");
    task.of.set_cpu_quota(0.1);
    std::atomic<bool> stop{false};
    for (int i = 0; i < 4; ++i) task.go([&] { rt_test::compute_until(stop); });
    EXPECT_TRUE(eventually([&] {
      rt::gc();
      return task.of.throttled().count >= 2;
    }));
    stop = true;
    task.of.set_cpu_quota(0);
    task.wait();
  });
}

}  // namespace
