// rt::add_cleanup: called once, after the object is gone, on a green thread of the task.
#include <gtest/gtest.h>

#include <atomic>
#include <deque>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "rt/rt.h"
#include "runtime/sched/group.h"
#include "tests/runtime/gc/objects.h"

namespace {

using rt_test::eventually;
using rt_test::out_of_sight;

struct thing {
  std::uint64_t words[4] = {};
  rt::ref<thing> other;
};

RT_ON_PROCS(cleanups);

// What the functions of one test count. One whose object a word has kept may be called when the test is over, so it is
// never gone.
struct counts {
  std::atomic<int> calls{0};
  std::atomic<int> alive{0};
  std::atomic<std::uint64_t> sum{0};
};

counts& new_counts() {
  static std::deque<counts> all;
  return all.emplace_back();
}

template <class Condition>
bool after_collections(const Condition& condition) {
  return eventually([&] {
    rt::gc();
    return condition();
  });
}

TEST_P(cleanups, each_is_called_once) {
  run([] {
    counts& seen = new_counts();
    out_of_sight([&] {
      for (int i = 0; i < 100; ++i) {
        auto* one = rt::make<thing>();
        rt::add_cleanup(
            one, [&seen](unsigned number) { seen.sum += number, ++seen.calls; }, 1U);
        rt::add_cleanup(
            &one->words[2], [&seen](unsigned number) { seen.sum += number, ++seen.calls; }, 10U);
      }
    });
    EXPECT_TRUE(after_collections([&] { return seen.calls >= 190; })) << seen.calls;
    for (int i = 0; i < 3; ++i) rt::gc();
    EXPECT_LE(seen.calls, 200);
    EXPECT_LE(seen.sum, 1100U);
  });
}

TEST_P(cleanups, not_while_the_object_is_used) {
  run([] {
    counts& seen = new_counts();
    auto* one = rt::make<thing>();
    rt::add_cleanup(one, [&seen] { ++seen.calls; });
    for (int i = 0; i < 3; ++i) rt::gc();
    EXPECT_EQ(seen.calls, 0);
    rt::keep_alive(one);
  });
}

TEST_P(cleanups, what_is_stopped_is_not_called_and_is_destroyed) {
  run([] {
    std::atomic<int> calls{0};
    auto shared = std::make_shared<int>(1);
    auto* one = rt::make<thing>();
    std::vector<rt::cleanup> all;
    for (int i = 0; i < 10; ++i) all.push_back(rt::add_cleanup(one, [&calls, shared] { ++calls; }));
    EXPECT_EQ(shared.use_count(), 11);
    for (int i = 0; i < 10; i += 2) {
      EXPECT_TRUE(all[static_cast<std::size_t>(i)].stop());
      EXPECT_FALSE(all[static_cast<std::size_t>(i)].stop());
    }
    EXPECT_EQ(shared.use_count(), 6);
    one = nullptr;
    rt_test::clear_stack();
    EXPECT_TRUE(after_collections([&] { return calls == 5; })) << calls;
    EXPECT_TRUE(eventually([&] { return shared.use_count() == 1; }));
    for (const rt::cleanup& stopped : all) EXPECT_FALSE(stopped.stop());
    EXPECT_FALSE(rt::cleanup().stop());
  });
}

TEST_P(cleanups, a_function_that_refers_to_the_object_is_refused) {
  run([] {
    auto* one = rt::make<thing>();
    EXPECT_THROW(rt::add_cleanup(
                     one, [](thing*) {}, one),
                 rt::usage_error);
    EXPECT_THROW(rt::add_cleanup(
                     one, [](std::uint64_t*) {}, &one->words[1]),
                 rt::usage_error);
    EXPECT_THROW(rt::add_cleanup(one, [own = rt::ref<thing>(one)] { static_cast<void>(own); }), rt::usage_error);
    try {
      rt::add_cleanup(one, [one] { static_cast<void>(one); });
      FAIL();
    } catch (const rt::usage_error& error) {
      EXPECT_NE(std::string(error.what()).find("refers to the object"), std::string::npos) << error.what();
    }
    int local = 0;
    EXPECT_THROW(rt::add_cleanup(&local, [] {}), rt::usage_error);
    std::thread foreign([&] { EXPECT_THROW(rt::add_cleanup(one, [] {}), rt::usage_error); });
    rt::blocking([&] { foreign.join(); });
  });
}

TEST_P(cleanups, the_argument_lives_until_the_call) {
  run([] {
    counts& seen = new_counts();
    out_of_sight([&] {
      for (int i = 0; i < 20; ++i) {
        auto* argument = rt::make<thing>();
        argument->words[0] = 77;
        argument->other = rt::make<thing>();
        argument->other->words[0] = 88;
        rt::add_cleanup(
            rt::make<thing>(),
            [&seen](const rt::ref<thing>& given) {
              seen.sum += given->words[0] + given->other->words[0];
              ++seen.calls;
            },
            rt::ref<thing>(argument));
      }
    });
    // What would have been freed is used by others.
    EXPECT_TRUE(after_collections([&] {
      for (int i = 0; i < 200; ++i) {
        auto* other = rt::make<thing>();
        other->words[0] = 1;
      }
      return seen.calls >= 18;
    })) << seen.calls;
    // The last ones may just be called.
    EXPECT_TRUE(eventually([&] { return seen.sum == 165U * static_cast<std::uint64_t>(seen.calls.load()); }))
        << seen.sum << " in " << seen.calls << " calls";
  });
}

TEST_P(cleanups, a_circle_of_objects_with_functions_is_collected) {
  run([] {
    std::atomic<int> calls{0};
    out_of_sight([&] {
      auto* first = rt::make<thing>();
      auto* second = rt::make<thing>();
      first->other = second;
      second->other = first;
      rt::add_cleanup(first, [&] { ++calls; });
      rt::add_cleanup(second, [&] { ++calls; });
    });
    EXPECT_TRUE(after_collections([&] { return calls == 2; })) << calls;
  });
}

TEST_P(cleanups, may_block_and_add_others) {
  run([] {
    std::atomic<int> calls{0};
    out_of_sight([&] {
      rt::add_cleanup(rt::make<thing>(), [&] {
        rt::sleep_for(std::chrono::microseconds(100));
        out_of_sight([&] { rt::add_cleanup(rt::make<thing>(), [&] { ++calls; }); });
        ++calls;
      });
    });
    EXPECT_TRUE(after_collections([&] { return calls == 2; })) << calls;
  });
}

TEST_P(cleanups, run_in_their_task_and_end_with_it) {
  run([] {
    std::atomic<int> inside{0};
    std::atomic<int> elsewhere{0};
    std::atomic<int> unused{0};
    auto shared = std::make_shared<int>(1);
    static rt::root<thing> outlives;
    outlives = rt::make<thing>();
    {
      rt::detail::group task("a task");
      auto body = [&] {
        out_of_sight([&] {
          rt::add_cleanup(rt::make<thing>(), [&] { (rt::detail::current_group() == &task ? inside : elsewhere)++; });
        });
        EXPECT_TRUE(after_collections([&] { return inside + elsewhere > 0; }));
        rt::add_cleanup(outlives.get(), [&, shared] { ++unused; });
      };
      rt::detail::spawn(&task.domain, {}, body);
      EXPECT_TRUE(eventually([&] { return task.live() == 0 && inside + elsewhere > 0 && shared.use_count() == 2; }));
      EXPECT_EQ(task.housekeepers.count(), 1U);
      task.end_housekeepers();
      EXPECT_EQ(shared.use_count(), 1);
      rt::detail::spawn(&task.domain, {}, [&] { task.destroy_values(); });
      EXPECT_TRUE(task.wait_until_at_most(0, INT64_MAX));
    }
    EXPECT_EQ(inside, 1);
    EXPECT_EQ(elsewhere, 0);
    outlives = nullptr;
    for (int i = 0; i < 2; ++i) rt::gc();
    EXPECT_EQ(unused, 0);
  });
}

TEST_P(cleanups, weak_references_are_null_then) {
  run([] {
    counts& seen = new_counts();
    out_of_sight([&] {
      for (int i = 0; i < 50; ++i) {
        auto* one = rt::make<thing>();
        rt::add_cleanup(
            one,
            [&seen](rt::weak<thing> was) {
              if (was.lock() != nullptr) ++seen.alive;
              ++seen.calls;
            },
            rt::weak<thing>(one));
      }
    });
    EXPECT_TRUE(after_collections([&] { return seen.calls >= 45; })) << seen.calls;
    EXPECT_EQ(seen.alive, 0);
  });
}

}  // namespace
