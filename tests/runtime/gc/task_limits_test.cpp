// Limits of a task's memory, what is told of a task, and what becomes of its memory when it ends.
#include <gtest/gtest.h>

#include <cstring>
#include <memory>

#include "rt/gc_stats.h"
#include "rt/rt.h"
#include "runtime/gc/collector.h"
#include "runtime/sched/scheduler.h"
#include "tests/runtime/gc/objects.h"
#include "tests/runtime/sched/groups.h"

namespace {

using rt::detail::read_heap_figures;
using rt_test::test_group;

constexpr std::uint64_t mib = 1 << 20;

RT_ON_PROCS(task_limits);

struct link {
  rt::ref<link> next;
  char filler[1000];
};

// Keeps `count` objects of some 1 KiB in a chain.
[[gnu::noinline]] rt::root<link> chain_of(int count) {
  rt::root<link> first;
  for (int i = 0; i < count; ++i) {
    link* fresh = rt::make<link>();
    fresh->next = first.get();
    first = fresh;
  }
  return first;
}

TEST_P(task_limits, live_bytes_are_each_tasks_own) {
  run([] {
    rt::set_gc_percent(rt::gc_off);  // no collections but these
    test_group keeps("keeps");
    test_group drops("drops");
    rt::root<link> kept;
    // Their stacks are used again, and words that are left there keep objects.
    keeps.go([&] {
      kept = chain_of(2000);
      rt_test::clear_stack();
    });
    drops.go([] {
      chain_of(3000);
      rt_test::clear_stack();
    });
    keeps.wait();
    drops.wait();
    rt::gc();
    rt::gc();  // what the first one's stacks still held
    rt::detail::owner_figures of_keeps = keeps.of.heap.figures();
    rt::detail::owner_figures of_drops = drops.of.heap.figures();
    EXPECT_GE(of_keeps.marked_bytes, 2000 * sizeof(link));
    EXPECT_LE(of_keeps.marked_bytes, 2000 * 1200U);
    EXPECT_EQ(of_keeps.marked_bytes, of_keeps.live_bytes());
    EXPECT_GE(of_drops.allocated_bytes, 3000 * sizeof(link));
    EXPECT_EQ(of_drops.allocated_objects, 3000U);
    EXPECT_TRUE(rt_test::eventually([&] {
      rt::gc();
      return drops.of.heap.figures().marked_bytes <= 3000 * sizeof(link) / 10;
    }));
    kept = nullptr;
    rt_test::clear_stack();
    EXPECT_TRUE(rt_test::eventually([&] {
      rt::gc();
      return keeps.of.heap.figures().marked_bytes <= 2000 * sizeof(link) / 10;
    }));
    rt::set_gc_percent(100);
  });
}

TEST_P(task_limits, garbage_never_comes_to_the_hard_limit) {
  run([] {
    test_group limited("limited");
    limited.of.heap.set_limits(SIZE_MAX, 2 * mib);
    std::atomic<int> refused{0};
    limited.go([&] {
      try {
        for (int i = 0; i < rt_test::scaled(20'000); ++i) {
          static_cast<void>(rt::make<link>());
          if (i % 100 == 0) static_cast<void>(rt::make_array<char>(100'000));
        }
      } catch (const rt::out_of_task_memory&) {
        ++refused;
      }
    });
    limited.wait();
    EXPECT_EQ(refused, 0);
    EXPECT_EQ(limited.of.heap.figures().limit_failures, 0U);
    EXPECT_LE(limited.of.heap.figures().span_bytes, 2 * mib);
  });
}

TEST_P(task_limits, at_the_hard_limit_the_allocation_throws_and_others_go_on) {
  run([] {
    rt::gc_stats before = rt::read_gc_stats();
    test_group limited("limited");
    test_group other("other");
    limited.of.heap.set_limits(SIZE_MAX, 2 * mib);
    std::atomic<bool> ended{false};
    std::string why;
    std::uint64_t live = 0;
    limited.go([&] {
      rt::root<link> kept;
      try {
        for (int i = 0; i < 10'000; ++i) {
          link* fresh = rt::make<link>();
          fresh->next = kept.get();
          kept = fresh;
        }
      } catch (const rt::out_of_task_memory& error) {
        why = error.what();
        live = limited.of.heap.figures().marked_bytes;
        EXPECT_EQ(error.limit(), 2 * mib);
      }
    });
    std::atomic<int> made{0};
    other.go([&] {
      while (!ended) {
        rt::root<link> kept = chain_of(100);
        made += 100;
        rt::yield();
      }
    });
    limited.wait();
    const int made_meanwhile = made;  // none, if it has not begun yet
    EXPECT_TRUE(rt_test::eventually([&] { return made > made_meanwhile; })) << made;
    ended = true;
    other.wait();
    EXPECT_NE(why.find("2097152 bytes"), std::string::npos) << why;
    rt::detail::owner_figures figures = limited.of.heap.figures();
    EXPECT_GE(figures.limit_failures, 1U);
    EXPECT_GE(figures.limit_waits, 1U);
    EXPECT_GE(live, mib) << "what was kept was found";
    EXPECT_GT(rt::read_gc_stats().limit_failures_total, before.limit_failures_total);
    // A cycle that the other task's growth has caused may have been the one that was waited for; then its own follows.
    // gcstress may have caused one instead.
    EXPECT_TRUE(rt_test::is_stressed() || rt_test::eventually([&] {
                  return rt::read_gc_stats().cycles_task_limit_total > before.cycles_task_limit_total;
                }));
    // With its objects gone it has room again.
    rt_test::clear_stack();
    std::atomic<bool> goes_on{false};
    EXPECT_TRUE(rt_test::eventually([&] {
      limited.go([&] {
        rt_test::clear_stack();  // it may be the first one's, with its words
        try {
          goes_on = rt::make_array<char>(mib) != nullptr;
        } catch (const rt::out_of_task_memory&) {
          goes_on = false;  // a word of it was left
        }
      });
      limited.wait();
      return goes_on.load();
    }));
  });
}

// Objects with destructors are free one cycle after those were called.
TEST_P(task_limits, destructors_make_room) {
  run([] {
    static std::atomic<int> destroyed;
    struct resource {
      char filler[4000];
      ~resource() { ++destroyed; }
    };
    destroyed = 0;
    test_group limited("limited");
    limited.of.heap.set_limits(SIZE_MAX, 2 * mib);
    std::atomic<bool> refused{false};
    limited.go([&] {
      try {
        for (int i = 0; i < 3000; ++i) static_cast<void>(rt::make<resource>());
      } catch (const rt::out_of_task_memory&) {
        refused = true;
      }
    });
    limited.wait();
    EXPECT_FALSE(refused);
    EXPECT_GT(destroyed, 2000);
  });
}

TEST_P(task_limits, above_the_soft_limit_only_that_task_is_slow) {
  run([] {
    rt::set_gc_percent(rt::gc_off);  // no cycles but those of the limit
    test_group limited("limited");
    test_group other("other");
    limited.of.heap.set_limits(mib, 32 * mib);
    rt::root<link> kept;
    rt::gc_stats before = rt::read_gc_stats();
    std::atomic<bool> collected{false};
    limited.go([&] {
      kept = chain_of(4000);
      // The turn for a limit's cycle comes some time after the last one, of whatever cause.
      collected = rt_test::eventually([&] {
        static_cast<void>(rt::make_array<char>(100'000));
        return rt::read_gc_stats().cycles_task_limit_total > before.cycles_task_limit_total;
      });
    });
    other.go([&] { chain_of(4000); });
    other.wait();
    limited.wait();
    rt::set_gc_percent(100);
    rt::detail::owner_figures figures = limited.of.heap.figures();
    EXPECT_TRUE(collected);
    EXPECT_GT(figures.limit_waits, 0U);
    EXPECT_EQ(figures.limit_failures, 0U) << "the soft limit refuses nothing";
    EXPECT_EQ(other.of.heap.figures().limit_waits, 0U);
  });
}

TEST_P(task_limits, an_ended_tasks_memory_is_back_at_once) {
  run([] {
    rt::gc();
    rt::release_memory();
    auto backed = [] {
      rt::detail::heap_figures now = read_heap_figures();
      return now.heap_bytes - now.released_bytes;
    };
    std::uint64_t before = backed();
    std::uint64_t in_spans = read_heap_figures().span_bytes;
    rt::gc_stats cycles = rt::read_gc_stats();
    rt::set_gc_percent(rt::gc_off);  // no collection but that of the end
    {
      test_group ends("ends");
      ends.go([] {
        rt::root<link> kept = chain_of(30'000);
        static_cast<void>(rt::make_array<char>(20 * mib));
      });
      ends.wait();
      EXPECT_GE(backed(), before + 45 * mib);
    }
    EXPECT_TRUE(rt_test::eventually([&] {
      return rt::read_gc_stats().cycles_task_end_total > cycles.cycles_task_end_total &&
             read_heap_figures().span_bytes <= in_spans + 2 * mib;
    }));
    rt::set_gc_percent(100);
    // Its pages, but for the spare that the scavenger leaves.
    EXPECT_TRUE(rt_test::eventually([&] { return backed() <= before + 16 * mib; }));
  });
}

// What others still refer to stays, whoever made it.
TEST_P(task_limits, what_outlives_its_task_stays) {
  run([] {
    rt::root<link> kept;
    {
      test_group ends("ends");
      ends.go([&] { kept = chain_of(3000); });
      ends.wait();
    }
    rt::gc();
    rt::gc();
    int length = 0;
    for (link* one = kept.get(); one != nullptr; one = one->next) ++length;
    EXPECT_EQ(length, 3000);
  });
}

}  // namespace
