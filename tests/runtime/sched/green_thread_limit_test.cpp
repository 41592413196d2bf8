// How many green threads a group may have.
#include <gtest/gtest.h>

#include <atomic>
#include <string>

#include "rt/rt.h"
#include "runtime/sched/scheduler.h"
#include "tests/runtime/in_runtime.h"
#include "tests/runtime/sched/groups.h"

namespace {

using rt::detail::limit_kind;
using rt::detail::met_limits;
using rt_test::eventually;
using rt_test::test_group;

RT_ON_PROCS(green_thread_limits);

// Whether one more can be started; it waits for `gate` then.
bool starts(const rt::chan<int>& gate) {
  try {
    rt::go([gate] { rt::chan<int>(gate).recv(); });
    return true;
  } catch (const rt::out_of_green_threads&) {
    return false;
  }
}

TEST_P(green_thread_limits, are_exact_for_one_who_starts) {
  run([] {
    test_group task("limited");
    task.of.set_green_thread_limit(100);
    task.go([&task] {
      rt::chan<int> gate;
      for (int i = 1; i < 100; ++i) EXPECT_TRUE(starts(gate)) << i;
      EXPECT_EQ(task.of.live(), 100U);
      try {
        rt::go([] {});
        ADD_FAILURE() << "one more than the limit has started";
      } catch (const rt::out_of_green_threads& error) {
        EXPECT_EQ(error.limit(), 100U);
        EXPECT_EQ(error.code(), std::errc::resource_unavailable_try_again);
        EXPECT_NE(std::string(error.what()).find("as it may, 100 (limits.green_threads"), std::string::npos)
            << error.what();
      }
      EXPECT_FALSE(starts(gate));
      EXPECT_EQ(task.of.green_threads.refused.load(), 2U);
      gate.send(1);
      EXPECT_TRUE(eventually([&] { return task.of.live() == 99; }));
      EXPECT_TRUE(starts(gate));
      EXPECT_FALSE(starts(gate));
      gate.close();
    });
    task.wait();
  });
}

rt::coroutine<> wait_for(rt::chan<int> gate) { co_await rt::async_recv(gate); }

TEST_P(green_thread_limits, count_coroutines_and_not_who_carries_them) {
  run([] {
    test_group task("limited");
    task.of.set_green_thread_limit(10);
    task.go([&task] {
      rt::chan<int> gate;
      for (int i = 1; i < 10; ++i) rt::go(wait_for(gate));
      EXPECT_EQ(task.of.live(), 10U);
      EXPECT_THROW(rt::go(wait_for(gate)), rt::out_of_green_threads);
      EXPECT_FALSE(starts(gate));
      gate.send(1);
      EXPECT_TRUE(eventually([&] { return task.of.live() == 9; }));
      rt::go(wait_for(gate));
      EXPECT_THROW(rt::go(wait_for(gate)), rt::out_of_green_threads);
      gate.close();
    });
    task.wait();
    // They have left with the last one.
    EXPECT_TRUE(eventually([&] { return task.of.housekeepers.count() == 0; }));
  });
}

TEST_P(green_thread_limits, hold_for_many_who_start_and_concern_no_other_group) {
  run([] {
    constexpr int limit = 60;
    constexpr int starters = 20;
    const int turns = rt_test::scaled(2000);
    test_group task("limited");
    test_group other("other");
    task.of.set_green_thread_limit(limit);
    std::atomic<int> there{0};
    std::atomic<int> most{0};
    std::atomic<int> refused{0};
    for (int s = 0; s < starters; ++s) {
      task.go([&] {
        for (int i = 0; i < turns; ++i) {
          try {
            rt::go([&] {
              const int now = there.fetch_add(1) + 1;
              int before = most.load();
              while (before < now && !most.compare_exchange_weak(before, now)) {
              }
              rt::yield();
              there.fetch_sub(1);
            });
          } catch (const rt::out_of_green_threads&) {
            refused.fetch_add(1);
            rt::yield();
          }
        }
      });
    }
    std::atomic<int> of_other{0};
    other.go([&] {
      for (int i = 0; i < limit * 10; ++i) rt::go([&of_other] { of_other.fetch_add(1); });
    });
    other.wait();
    task.wait();
    EXPECT_EQ(of_other.load(), limit * 10);
    // The starters count as well; each may be inside rt::go when the limit is reached.
    EXPECT_LE(most.load(), limit);
    EXPECT_GT(refused.load(), 0);
    EXPECT_EQ(task.of.green_threads.refused.load(), static_cast<std::uint64_t>(refused.load()));
    EXPECT_EQ(there.load(), 0);
  });
}

TEST_P(green_thread_limits, change_at_any_time) {
  run([] {
    test_group task("limited");
    task.go([&task] {
      rt::chan<int> gate;
      for (int i = 0; i < 50; ++i) EXPECT_TRUE(starts(gate));
      task.of.set_green_thread_limit(10);
      EXPECT_FALSE(starts(gate));
      EXPECT_EQ(task.of.live(), 51U) << "those that are there stay";
      task.of.set_green_thread_limit(52);
      EXPECT_TRUE(starts(gate));
      EXPECT_FALSE(starts(gate));
      task.of.set_green_thread_limit(rt::detail::no_limit);
      for (int i = 0; i < 200; ++i) EXPECT_TRUE(starts(gate));
      gate.close();
    });
    task.wait();
  });
}

TEST_P(green_thread_limits, are_told_once_until_there_are_many_less) {
  run([] {
    test_group task("limited");
    static std::atomic<int> calls;
    calls = 0;
    task.of.limits.tell([](rt::detail::group&) noexcept { calls.fetch_add(1); });
    task.of.set_green_thread_limit(20);
    task.go([&task] {
      rt::chan<int> gate;
      while (starts(gate)) {
      }
      EXPECT_EQ(task.of.limits.take(), met_limits::bit(limit_kind::green_threads));
      EXPECT_FALSE(starts(gate));
      gate.send(1);
      EXPECT_TRUE(eventually([&] { return task.of.live() == 19; }));
      EXPECT_TRUE(starts(gate));
      EXPECT_FALSE(starts(gate));
      EXPECT_EQ(task.of.limits.take(), 0U);
      EXPECT_EQ(calls.load(), 1);
      for (int i = 0; i < 10; ++i) gate.send(1);
      EXPECT_TRUE(eventually([&] { return task.of.live() == 10; }));
      while (starts(gate)) {
      }
      EXPECT_EQ(calls.load(), 2);
      gate.close();
    });
    task.wait();
  });
}

TEST_P(green_thread_limits, refuse_a_scope_but_no_housekeeper) {
  run([] {
    test_group task("limited");
    task.of.set_green_thread_limit(1);
    std::atomic<bool> kept_house{false};
    task.go([&] {
      rt::scope scope;
      EXPECT_THROW(scope.go([] {}), rt::out_of_green_threads);
      ASSERT_TRUE(task.of.housekeepers.begin());
      rt::detail::spawn_housekeeper(task.of, rt::detail::housekeeping::stays, {}, [&kept_house] { kept_house = true; });
      EXPECT_TRUE(eventually([&] { return kept_house.load(); }));
      scope.wait();
    });
    task.wait();
  });
}

// One in rt::blocking has no P to count on.
TEST_P(green_thread_limits, hold_for_one_without_a_processor) {
  run([] {
    test_group task("limited");
    task.of.set_green_thread_limit(5);
    task.go([] {
      rt::chan<int> gate;
      rt::blocking([&] {
        for (int i = 1; i < 5; ++i) EXPECT_TRUE(starts(gate)) << i;
        EXPECT_FALSE(starts(gate));
      });
      gate.close();
    });
    task.wait();
  });
}

}  // namespace
