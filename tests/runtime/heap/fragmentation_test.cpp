// How much memory the heap takes for what is alive.
#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "rt/make.h"
#include "runtime/heap/heap_state.h"
#include "tests/runtime/heap/pretend_collector.h"
#include "tests/runtime/in_runtime.h"
#include "tests/runtime/seeds.h"

namespace rt::detail {
namespace {

RT_ON_PROCS(fragmentation);

std::vector<void*> allocate_many(std::size_t size, std::size_t count) {
  std::vector<void*> made(count);
  for (void*& one : made) one = allocate(size, 8, span_kind::scanned);
  return made;
}

// Every other page's worth of slots is alive: new objects go into the holes, not into new pages.
TEST_P(fragmentation, holes_are_filled_before_the_heap_grows) {
  run([] {
    rt_test::collect({});
    constexpr std::size_t count = 20'000;
    std::vector<void*> objects = allocate_many(64, count);
    std::uint64_t full = read_heap_figures().span_bytes;
    std::vector<void*> live;
    for (std::size_t i = 0; i < count; i += 4) live.push_back(objects[i]);
    rt_test::collect(live);
    std::vector<void*> refilled = allocate_many(64, count * 3 / 4 - 300);  // but for what caches hold
    EXPECT_LE(read_heap_figures().span_bytes, full);
    live.insert(live.end(), refilled.begin(), refilled.end());
    rt_test::collect(live);
    EXPECT_LE(read_heap_figures().span_bytes, full);
    rt_test::collect({});
  });
}

// A long churn: sizes and lifetimes are random, what is alive stays the same amount. The pages stay within a bound of
// it.
TEST_P(fragmentation, a_long_churn_stays_within_a_bound) {
  rt_test::seeds seeds;
  run([&] {
    std::mt19937 random = seeds.source(0);
    rt_test::collect({});
    rt_test::collect({});
    std::uint64_t before = read_heap_figures().span_bytes;
    constexpr std::size_t held = 8000;
    std::vector<void*> live;
    std::vector<std::size_t> sizes;
    auto add_one = [&] {
      std::size_t size = 16 + random() % (random() % 16 == 0 ? 20'000 : 500);
      live.push_back(allocate(size, 8, span_kind::plain));
      sizes.push_back(size);
    };
    for (int cycle = 0; cycle < 12; ++cycle) {
      while (live.size() < held) add_one();
      for (std::size_t i = 0; i < live.size();) {
        if (random() % 3 != 0) {
          ++i;
          continue;
        }
        live[i] = live.back();
        sizes[i] = sizes.back();
        live.pop_back();
        sizes.pop_back();
      }
      rt_test::collect(live);
    }
    while (live.size() < held) add_one();
    std::size_t requested = 0;
    for (std::size_t size : sizes) requested += size;
    std::uint64_t taken = read_heap_figures().span_bytes - before;
    // Measured are 1.2 to 1.3 times: what classes round up, partly used spans, and what died since the last cycle.
    EXPECT_LE(taken, requested * 3 / 2);
    rt_test::collect({});
    rt_test::collect({});
    EXPECT_LE(read_heap_figures().span_bytes, before) << "all of it falls free in the end";
  });
}

// Tasks that come and go leave no pages and no tables behind.
TEST_P(fragmentation, tables_are_bounded_by_the_most_tasks_at_once) {
  run([] {
    heap_figures first{};
    for (int round = 0; round < 20; ++round) {
      {
        std::vector<std::unique_ptr<task_heap>> tasks;
        for (int i = 0; i < 10; ++i) {
          tasks.push_back(std::make_unique<task_heap>());
          tasks.back()->set_limits(SIZE_MAX, SIZE_MAX);
        }
      }
      if (round == 0) first = read_heap_figures();
    }
    heap_figures last = read_heap_figures();
    EXPECT_EQ(last.cache_bytes, first.cache_bytes);
    EXPECT_EQ(last.cache_used, first.cache_used);
  });
}

}  // namespace
}  // namespace rt::detail
