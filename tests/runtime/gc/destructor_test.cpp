// In whose name destructors run: that of the task that has allocated the object, while it lives.
#include <gtest/gtest.h>

#include <atomic>
#include <exception>
#include <functional>
#include <memory>
#include <stdexcept>
#include <vector>

#include "rt/rt.h"
#include "runtime/heap/dead_objects.h"
#include "runtime/heap/heap.h"
#include "runtime/sched/group.h"
#include "runtime/sched/scheduler.h"
#include "tests/runtime/gc/objects.h"
#include "tests/runtime/sched/groups.h"
#include "tests/runtime/waiting.h"

namespace {

using rt_test::come_to_wait_in;
using rt_test::eventually;
using rt_test::out_of_sight;
using rt_test::test_group;

RT_ON_PROCS(destructors);

// What the objects of one test share. They may be found dead in a later one (a word that looked like a reference), so
// it is never gone, and says itself whether it is still in use.
struct plan {
  std::atomic<int> calls{0};
  std::atomic<int> in_task{0};
  std::atomic<int> in_no_task{0};
  std::atomic<const rt::detail::group*> task{nullptr};
  std::function<void()> act;
  std::atomic<bool> is_over{false};
  std::atomic<int> inside{0};  // destructors that have begun and not ended
};

plan& new_plan() {
  static auto& all = *new std::vector<std::unique_ptr<plan>>;
  return *all.emplace_back(std::make_unique<plan>());
}

struct subject {
  explicit subject(plan& of) : mine(&of) {}
  subject(const subject&) = delete;
  subject& operator=(const subject&) = delete;
  ~subject() noexcept(false) {
    ++mine->inside;
    const leaving at_end{*mine};
    if (mine->is_over) return;
    const rt::detail::group* where = rt::detail::current_group();
    if (where == mine->task.load()) ++mine->in_task;
    if (where == &rt::detail::the_scheduler()->default_group()) ++mine->in_no_task;
    ++mine->calls;
    if (mine->act) mine->act();
  }
  struct leaving {
    plan& of;
    ~leaving() { --of.inside; }
  };
  plan* mine;
};

// Stands behind all that the destructors use: that goes when none of them is inside any more.
struct plan_over {
  plan& of;
  ~plan_over() {
    of.is_over = true;
    EXPECT_TRUE(eventually([this] { return of.inside == 0; })) << of.inside;
  }
};

// In the group, out of sight: nothing of them is left on a stack.
void make_subjects(test_group& in, plan& of, int count) {
  of.task = &in.of;
  in.go([&of, count] {
    out_of_sight([&] {
      for (int i = 0; i < count; ++i) static_cast<void>(rt::make<subject>(of));
    });
  });
  in.wait();
}

template <class Condition>
bool after_collections(const Condition& condition) {
  return eventually([&] {
    if (condition()) return true;
    rt::gc();
    return condition();
  });
}

TEST_P(destructors, run_in_the_task_of_the_object) {
  run([] {
    plan& what = new_plan();
    test_group task("a task");
    std::atomic<std::uint64_t> allocated{0};
    plan_over over{what};
    what.act = [&] {
      std::uint64_t before = rt::detail::current_group()->heap.figures().allocated_objects;
      static_cast<void>(rt::make_array<std::uint64_t>(5));
      allocated += rt::detail::current_group()->heap.figures().allocated_objects - before;
    };
    make_subjects(task, what, 100);
    EXPECT_TRUE(after_collections([&] { return what.calls >= 90; })) << what.calls;
    EXPECT_TRUE(eventually([&] { return task.of.housekeepers.count() == 0; })) << "and they are gone";
    EXPECT_TRUE(eventually([&] { return what.in_task == what.calls; })) << what.in_task << " of " << what.calls;
    EXPECT_TRUE(eventually([&] { return allocated == static_cast<std::uint64_t>(what.calls.load()); }))
        << allocated << " of " << what.calls << ": what they allocate is the task's";
  });
}

TEST_P(destructors, their_cpu_time_is_the_tasks) {
  run([] {
    plan& what = new_plan();
    plan_over over{what};
    test_group task("a task");
    what.act = [] {
      const rt::time_point until = rt::now() + std::chrono::microseconds(500);
      while (rt::now() < until) rt::checkpoint();
    };
    make_subjects(task, what, 20);
    double before = task.of.cpu_seconds();
    EXPECT_TRUE(after_collections([&] { return what.calls >= 15; })) << what.calls;
    EXPECT_TRUE(eventually([&] { return task.of.cpu_seconds() > before; }));
  });
}

TEST_P(destructors, an_exception_fails_the_task_and_the_others_are_called) {
  run([] {
    plan& what = new_plan();
    plan_over over{what};
    static std::atomic<int> failures;
    failures = 0;
    rt::detail::group task("fails", 0, [](rt::detail::group&, std::exception_ptr error) noexcept {
      try {
        std::rethrow_exception(std::move(error));
      } catch (const std::runtime_error&) {
        ++failures;
      } catch (...) {
      }
    });
    what.task = &task;
    what.act = [&] {
      if (what.calls == 1) throw std::runtime_error("out of a destructor");
    };
    rt::detail::spawn(&task.domain, {}, [&] {
      out_of_sight([&] {
        for (int i = 0; i < 50; ++i) static_cast<void>(rt::make<subject>(what));
      });
    });
    EXPECT_TRUE(task.wait_until_at_most(0, INT64_MAX));
    EXPECT_TRUE(after_collections([&] { return what.calls >= 40; })) << what.calls;
    EXPECT_EQ(failures, 1);
    EXPECT_TRUE(eventually([&] { return what.in_task == what.calls; })) << what.in_task << " of " << what.calls;
  });
}

TEST_P(destructors, one_that_waits_holds_up_no_other_task) {
  run([] {
    plan& waits = new_plan();
    plan& runs = new_plan();
    rt::chan<int> gate;
    plan_over first_over{waits};
    plan_over second_over{runs};
    waits.act = [&] { gate.recv(); };
    test_group slow("slow");
    test_group quick("quick");
    make_subjects(slow, waits, 20);
    EXPECT_TRUE(after_collections([&] { return waits.calls == 1; }));
    make_subjects(quick, runs, 20);
    EXPECT_TRUE(after_collections([&] { return runs.calls >= 15; })) << runs.calls;
    EXPECT_EQ(waits.calls, 1) << "in one task they run one after the other";
    gate.close();
    EXPECT_TRUE(after_collections([&] { return waits.calls >= 15; })) << waits.calls;
    EXPECT_TRUE(eventually([&] { return waits.in_task == waits.calls; })) << waits.in_task << " of " << waits.calls;
  });
}

TEST_P(destructors, do_not_make_the_task_look_alive) {
  run([] {
    plan& what = new_plan();
    rt::chan<int> gate;
    plan_over over{what};
    what.act = [&] { gate.recv(); };
    test_group task("a task");
    std::size_t before = rt::num_green_threads();
    make_subjects(task, what, 5);
    EXPECT_TRUE(after_collections([&] { return what.calls == 1; }));
    EXPECT_TRUE(come_to_wait_in("chan receive"));
    EXPECT_EQ(task.of.housekeepers.count(), 1U);
    EXPECT_EQ(task.of.live(), 0U);
    EXPECT_TRUE(eventually([&] { return rt::num_green_threads() == before; }));
    gate.close();
  });
}

// The end comes while one waits for what never comes, and others have not been called yet.
TEST_P(destructors, one_that_waits_for_ever_does_not_hold_up_the_end_of_its_task) {
  run([] {
    plan& what = new_plan();
    rt::chan<int> gate;
    std::atomic<int> waited{0};
    plan_over over{what};
    what.act = [&] {
      gate.recv();
      ++waited;
    };
    {
      test_group task("a task");
      make_subjects(task, what, 20);
      EXPECT_TRUE(after_collections([&] { return what.calls == 1; }));
      EXPECT_TRUE(come_to_wait_in("chan receive"));
      EXPECT_EQ(what.in_task, 1);
    }
    EXPECT_EQ(what.calls, 1);
    what.task = nullptr;
    // It goes on, and the others are nobody's.
    EXPECT_EQ(rt::detail::the_scheduler()->default_group().housekeepers.count(), 1U);
    gate.close();
    EXPECT_TRUE(eventually([&] { return waited == 1; }));
    EXPECT_TRUE(after_collections([&] { return what.calls >= 15; })) << what.calls;
    EXPECT_TRUE(eventually([&] { return what.in_no_task == what.calls - 1; }))
        << what.in_no_task << " of " << what.calls;
  });
}

TEST_P(destructors, of_ended_tasks_are_called_though_some_wait_for_ever) {
  run([] {
    plan& waits = new_plan();
    plan& runs = new_plan();
    rt::chan<int> gate;
    plan_over first_over{waits};
    plan_over second_over{runs};
    waits.act = [&] { gate.recv(); };
    {
      test_group task("a task");
      make_subjects(task, waits, 8);  // some may be kept by a word that was left somewhere
    }
    EXPECT_TRUE(after_collections([&] { return waits.calls >= 1; }));
    {
      test_group task("another task");
      make_subjects(task, runs, 20);
    }
    EXPECT_TRUE(after_collections([&] { return runs.calls >= 15; })) << runs.calls;
    EXPECT_TRUE(eventually([&] { return runs.in_no_task == runs.calls; })) << runs.in_no_task << " of " << runs.calls;
    gate.close();
    EXPECT_TRUE(eventually([&] { return !rt::detail::orphans().dead.is_busy(); }));
  });
}

// One that sleeps is moved with its timer, one in a scope of its own with what that has started waits for the end of
// those, and a mutex goes along.
TEST_P(destructors, move_with_what_they_wait_for) {
  run([] {
    plan& sleeps = new_plan();
    plan& nests = new_plan();
    plan& locks = new_plan();
    std::atomic<int> done{0};
    rt::mutex busy;
    plan_over first_over{sleeps};
    plan_over second_over{nests};
    plan_over third_over{locks};
    busy.lock();
    sleeps.act = [&] {
      rt::sleep_for(std::chrono::milliseconds(150));
      ++done;
    };
    nests.act = [&] {
      rt::scope inner;
      inner.go([] { rt::sleep_for(std::chrono::milliseconds(130)); });
      inner.wait();
      ++done;
    };
    locks.act = [&] {
      busy.lock();
      busy.unlock();
      ++done;
    };
    {
      test_group first("first");
      test_group second("second");
      test_group third("third");
      make_subjects(first, sleeps, 1);
      make_subjects(second, nests, 1);
      make_subjects(third, locks, 1);
      // Each of them may be kept by some word: then there is nothing to see.
      for (int i = 0; i < 5; ++i) rt::gc();
    }
    busy.unlock();
    EXPECT_TRUE(eventually([&] { return done == sleeps.calls + nests.calls + locks.calls; })) << done;
  });
}

TEST_P(destructors, of_tasks_that_end_at_any_moment_are_called_once) {
  run([] {
    plan& what = new_plan();
    plan_over over{what};
    constexpr int tasks = 20;
    constexpr int each = 40;
    what.act = [&] {
      if (what.calls % 7 == 0) rt::yield();
    };
    std::atomic<bool> stop{false};
    test_group collecting("collects");
    collecting.go([&] {
      while (!stop) rt::gc();
    });
    for (int i = 0; i < tasks; ++i) {
      test_group task("a task");
      make_subjects(task, what, each);
      for (int turn = 0; turn < i % 5; ++turn) rt::yield();
    }
    EXPECT_TRUE(eventually([&] { return what.calls >= tasks * each * 9 / 10; })) << what.calls;
    stop = true;
    collecting.wait();
    for (int i = 0; i < 3; ++i) rt::gc();
    EXPECT_TRUE(eventually([] { return !rt::detail::orphans().dead.is_busy(); }));
    EXPECT_LE(what.calls, tasks * each);
  });
}

}  // namespace
