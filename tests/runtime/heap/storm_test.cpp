// Many green threads allocate in loops that call nothing else, so that they are frozen in the middle of it, while the
// world is stopped again and again for cycles in which everything survives.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "rt/blocking.h"
#include "rt/go.h"
#include "rt/make.h"
#include "rt/runtime.h"
#include "rt/wait_group.h"
#include "runtime/heap/heap.h"
#include "tests/runtime/heap/pretend_collector.h"
#include "tests/runtime/in_runtime.h"
#include "tests/runtime/sched/groups.h"
#include "tests/runtime/seeds.h"

namespace rt::detail {
namespace {

RT_ON_PROCS(storms);

struct stamped {
  std::uint64_t owner;
  std::uint64_t number;
};
static_assert(sizeof(stamped) == 16);

// Allocates `count` objects and looks at the last ones again and again: nobody else may have got one of them.
int allocate_and_check(std::uint64_t self, std::uint64_t count) {
  constexpr std::size_t kept = 512;
  std::array<stamped*, kept> last{};
  int wrong = 0;
  for (std::uint64_t i = 0; i < count; ++i) {
    stamped*& place = last[i % kept];
    if (place != nullptr && (place->owner != self || place->number != i - kept)) ++wrong;
    place = make<stamped>(self, i);
  }
  return wrong;
}

TEST_P(storms, frozen_allocators_never_get_the_same_slot) {
  run([] {
    std::atomic<int> wrong{0};
    for (int round = 0; round < 3; ++round) {
      constexpr int threads = 8;
      std::atomic<int> left{threads};
      rt_test::test_group group("storm");  // of one task, so that they share the caches of their Ps
      for (int i = 0; i < threads; ++i) {
        group.go([&wrong, &left, i] {
          wrong +=
              allocate_and_check(static_cast<std::uint64_t>(i), static_cast<std::uint64_t>(rt_test::scaled(400'000)));
          --left;
        });
      }
      // A thread of its own, so that it waits for nobody's slice: each of its stops freezes whatever runs.
      blocking([&] {
        std::thread collector([&] {
          while (left > 0) {
            rt_test::begin_mark();
            rt_test::with_world_stopped([] {
              rt_test::mark_all();
              end_mark();
            });
          }
        });
        collector.join();
      });
      group.wait();
      rt_test::collect({});
    }
    EXPECT_EQ(wrong, 0);
    rt_test::collect({});
  });
}

TEST_P(storms, figures_are_consistent_while_everything_moves) {
  run([] {
    std::atomic<bool> stop{false};
    wait_group done;
    for (int i = 0; i < 4; ++i) {
      done.add(1);
      go([&] {
        while (!stop) {
          static_cast<void>(allocate_and_check(1, 1000));
          yield();
        }
        done.done();
      });
    }
    heap_figures last{};
    for (int i = 0; i < rt_test::scaled(40); ++i) {
      if (i % 5 == 0) {
        rt_test::begin_mark();
        rt_test::with_world_stopped([] {
          rt_test::mark_all();
          end_mark();
        });
        while (sweep_some(50)) yield();
      }
      heap_figures now = read_heap_figures();
      EXPECT_EQ(now.span_bytes + now.idle_bytes, now.heap_bytes);
      EXPECT_LE(now.released_bytes, now.idle_bytes);
      EXPECT_LE(now.freed_bytes, now.allocated_bytes);
      EXPECT_LE(now.freed_objects, now.allocated_objects);
      EXPECT_GE(now.freed_objects, last.freed_objects);
      EXPECT_GE(now.allocated_objects, last.allocated_objects);
      EXPECT_GE(now.allocated_bytes, last.allocated_bytes);
      EXPECT_GE(now.heap_bytes, last.heap_bytes);
      // Spans are counted after the pages: some may lie in pages that have come in between.
      EXPECT_LE(now.span_table_used, read_heap_figures().span_table_bytes);
      EXPECT_LE(now.cache_used, now.cache_bytes);
      class_figures by_size[size_class_count + 1];
      read_class_figures(by_size);
      for (const class_figures& one : by_size) EXPECT_LE(one.freed, one.allocated);
      last = now;
      yield();
    }
    stop = true;
    done.wait();
    // At rest the sums are the same, however they are taken.
    rt_test::settle();
    heap_figures rest = read_heap_figures();
    class_figures by_size[size_class_count + 1];
    read_class_figures(by_size);
    std::uint64_t allocated = 0;
    std::uint64_t freed = 0;
    for (const class_figures& one : by_size) {
      allocated += one.allocated;
      freed += one.freed;
    }
    EXPECT_EQ(allocated, rest.allocated_objects);
    EXPECT_EQ(freed, rest.freed_objects);
    std::uint64_t objects = 0;
    std::uint64_t bytes = 0;
    std::uint64_t pages = 0;
    for_each_span([&](span& one) {
      pages += one.bytes();
      for (std::size_t i = 0; i < one.slot_count(); ++i) {
        if (!one.is_allocated(i)) continue;
        ++objects;
        bytes += one.element_size();
      }
    });
    EXPECT_EQ(objects, rest.live_objects()) << "the slow walk counts the same";
    EXPECT_EQ(bytes, rest.live_bytes());
    EXPECT_EQ(pages, rest.span_bytes);
    rt_test::collect({});
    rt_test::collect({});
  });
}

TEST(storm, the_number_of_ps_changes_while_all_allocate) {
  rt_test::in_runtime(4, [] {
    std::atomic<int> wrong{0};
    std::atomic<int> left{6};
    wait_group done;
    for (int i = 0; i < 6; ++i) {
      done.add(1);
      go([&, i] {
        for (int k = 0; k < 20; ++k) {
          wrong += allocate_and_check(static_cast<std::uint64_t>(i), static_cast<std::uint64_t>(rt_test::scaled(5000)));
          yield();
        }
        --left;
        done.done();
      });
    }
    for (int count = 1; left > 0; count = count % 6 + 1) {
      max_procs(count);
      yield();
    }
    done.wait();
    EXPECT_EQ(wrong, 0);
    rt_test::collect({});
  });
}

}  // namespace
}  // namespace rt::detail
