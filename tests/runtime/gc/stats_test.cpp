// Figures, settings, and when collections happen by themselves.
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "rt/rt.h"
#include "runtime/gc/collector.h"
#include "tests/runtime/gc/objects.h"

namespace {

using rt_test::out_of_sight;
using rt_test::scaled;

constexpr std::uint64_t mib = 1 << 20;

RT_ON_PROCS(mem_stats);

void expect_identities(const rt::mem_stats& all) {
  EXPECT_EQ(all.alloc, all.heap_alloc);
  EXPECT_EQ(all.heap_sys, all.heap_inuse + all.heap_idle);
  EXPECT_LE(all.heap_released, all.heap_idle);
  EXPECT_EQ(all.heap_objects, all.mallocs - all.frees);
  EXPECT_GE(all.total_alloc, all.heap_alloc);
  EXPECT_EQ(all.sys, all.heap_sys + all.stack_sys + all.mspan_sys + all.mcache_sys + all.buck_hash_sys + all.gc_sys +
                         all.other_sys);
  EXPECT_LE(all.stack_inuse, all.stack_sys);
  EXPECT_LE(all.mspan_inuse, all.mspan_sys);
  EXPECT_LE(all.mcache_inuse, all.mcache_sys);
  EXPECT_GE(all.num_gc, all.num_forced_gc);
  EXPECT_GE(all.gc_cpu_fraction, 0.0);
  EXPECT_LE(all.gc_cpu_fraction, 1.0);
  EXPECT_EQ(all.lookups, 0U);
  EXPECT_FALSE(all.debug_gc);
  std::uint64_t pauses = 0;
  for (std::uint64_t one : all.pause_ns) pauses += one;
  if (all.num_gc <= 256) {
    EXPECT_EQ(pauses, all.pause_total_ns);
  }
  for (std::size_t i = 1; i < rt::mem_stats::size_count; ++i) {
    EXPECT_GT(all.by_size[i].size, all.by_size[i - 1].size);
    EXPECT_GE(all.by_size[i].mallocs, all.by_size[i].frees);
  }
}

TEST_P(mem_stats, identities_hold_while_others_allocate) {
  run([] {
    std::atomic<bool> end{false};
    rt::wait_group all;
    for (int i = 0; i < 4; ++i) {
      all.go([&] {
        while (!end) {
          for (int k = 0; k < 100; ++k) static_cast<void>(rt::make_array<char>(300));
          rt::yield();
        }
      });
    }
    for (int i = 0; i < 50; ++i) {
      expect_identities(rt::read_mem_stats());
      rt::yield();
    }
    end = true;
    all.wait();
  });
}

TEST_P(mem_stats, a_forced_collection_is_counted_and_dated) {
  run([] {
    rt::mem_stats before = rt::read_mem_stats();
    auto now = [] {
      return static_cast<std::uint64_t>(
          std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
              .count());
    };
    std::uint64_t began = now();
    rt::gc();
    std::uint64_t ended = now();
    rt::mem_stats after = rt::read_mem_stats();
    EXPECT_GE(after.num_forced_gc, before.num_forced_gc + 1);
    EXPECT_GT(after.num_gc, before.num_gc);
    EXPECT_GE(after.last_gc, began);
    EXPECT_LE(after.last_gc, ended);
    EXPECT_EQ(after.last_gc, after.pause_end[(after.num_gc + 255) % 256]);
    EXPECT_GT(after.pause_ns[(after.num_gc + 255) % 256], 0U);
    EXPECT_GE(after.next_gc, 4 * mib);
    expect_identities(after);
  });
}

TEST_P(mem_stats, what_is_kept_is_found_live) {
  run([] {
    rt::ref<char>* kept = rt::make_array<rt::ref<char>>(1000);
    rt::gc();
    std::uint64_t before = rt::detail::the_collector().last().marked;
    for (int i = 0; i < 1000; ++i) kept[i] = rt::make_array<char>(10'000);
    rt::gc();
    rt::detail::cycle_report last = rt::detail::the_collector().last();
    EXPECT_GE(last.marked, before + 1000 * 10'000);
    EXPECT_LE(last.marked, before + 1000 * 12'000 + mib);
    EXPECT_GE(last.goal, 4 * mib);
    rt::keep_alive(kept);
  });
}

TEST_P(mem_stats, settings_return_the_old_value) {
  run([] {
    EXPECT_EQ(rt::set_gc_percent(300), 100);
    EXPECT_EQ(rt::set_gc_percent(rt::gc_off), 300);
    EXPECT_FALSE(rt::read_mem_stats().enable_gc);
    EXPECT_EQ(rt::set_gc_percent(100), rt::gc_off);
    EXPECT_EQ(rt::set_memory_limit(123 * mib), rt::no_memory_limit);
    EXPECT_EQ(rt::set_memory_limit(rt::no_memory_limit), 123 * mib);
  });
}

TEST_P(mem_stats, without_percent_nothing_is_collected_by_itself) {
  if (rt_test::is_stressed()) GTEST_SKIP() << "gcstress collects at any time";
  run([] {
    rt::set_gc_percent(rt::gc_off);
    rt::gc();
    std::uint32_t before = rt::read_mem_stats().num_gc;
    for (int i = 0; i < scaled(20'000); ++i) static_cast<void>(rt::make_array<char>(1000));
    EXPECT_EQ(rt::read_mem_stats().num_gc, before);
    rt::set_gc_percent(100);
  });
}

TEST_P(mem_stats, the_heap_stays_near_its_goal) {
  run([] {
    rt::ref<char>* kept = rt::make_array<rt::ref<char>>(4000);
    for (int i = 0; i < 4000; ++i) kept[i] = rt::make_array<char>(4000);  // 16 MB
    rt::gc();
    double most = 0;
    std::uint64_t goal = rt::read_mem_stats().next_gc;
    std::uint64_t goal_before = goal;
    for (int i = 0; i < scaled(100'000); ++i) {
      kept[i % 4000] = rt::make_array<char>(4000);
      if (i % 1000 != 0) continue;
      rt::mem_stats now = rt::read_mem_stats();
      if (now.next_gc != goal) goal_before = std::exchange(goal, now.next_gc);
      // What the last cycle has found dead counts until it is swept, and may be as much as the goal before.
      most = std::max(most, static_cast<double>(now.heap_alloc) / static_cast<double>(std::max(goal, goal_before)));
    }
    // Who allocates beyond an eighth above the goal waits for the collector, however little of a CPU that has.
    EXPECT_LT(most, 1.5);
    rt::keep_alive(kept);
  });
}

}  // namespace
