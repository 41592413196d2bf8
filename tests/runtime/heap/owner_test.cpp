// Spans belong to tasks.
#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <memory>
#include <optional>
#include <set>
#include <thread>
#include <vector>

#include "rt/blocking.h"
#include "rt/go.h"
#include "rt/make.h"
#include "rt/wait_group.h"
#include "runtime/heap/heap_state.h"
#include "runtime/os/clock.h"
#include "tests/runtime/heap/pretend_collector.h"
#include "tests/runtime/in_runtime.h"
#include "tests/runtime/sched/groups.h"

namespace rt::detail {
namespace {

RT_ON_PROCS(owners);
using rt_test::test_group;

span& span_with(const void* object) { return *span_of(reinterpret_cast<std::uintptr_t>(object)); }

TEST_P(owners, spans_hold_objects_of_one_task) {
  run([] {
    test_group a("a");
    test_group b("b");
    std::vector<void*> of_a;
    std::vector<void*> of_b;
    wait_group done;
    auto allocate_in = [&done](test_group& group, std::vector<void*>& to) {
      done.add(1);
      group.go([&] {
        for (int i = 0; i < 300; ++i) {
          to.push_back(allocate(80, 8, span_kind::scanned));
          if (i % 7 == 0) yield();  // the other one has its turn on the same P
        }
        to.push_back(allocate(100'000, 8, span_kind::plain));
        done.done();
      });
    };
    allocate_in(a, of_a);
    allocate_in(b, of_b);
    done.wait();
    ASSERT_NE(a.of.heap.get(), nullptr);
    for (void* one : of_a) EXPECT_EQ(span_with(one).owner, a.of.heap.get());
    for (void* one : of_b) EXPECT_EQ(span_with(one).owner, b.of.heap.get());
    owner_figures figures = a.of.heap.figures();
    EXPECT_EQ(figures.live_objects(), 301U);
    EXPECT_EQ(figures.live_bytes(), 300U * 80 + 13 * heap_page_size);
    EXPECT_GE(figures.span_bytes, figures.live_bytes());
    EXPECT_LE(figures.span_bytes, figures.live_bytes() + 9 * heap_page_size) << "one span for each P at most";
  });
}

TEST_P(owners, the_fast_path_follows_the_task_that_runs) {
  run([] {
    constexpr int groups = 3;
    std::vector<std::unique_ptr<test_group>> all;
    for (int i = 0; i < groups; ++i) all.push_back(std::make_unique<test_group>("g" + std::to_string(i)));
    std::atomic<int> wrong{0};
    for (auto& group : all) {
      for (int i = 0; i < 4; ++i) {
        group->go([&wrong, mine = &group->of] {
          for (int k = 0; k < rt_test::scaled(2000); ++k) {
            void* object = allocate(32, 8, span_kind::scanned);
            if (span_with(object).owner != mine->heap.get()) ++wrong;
            if (k % 5 == 0) yield();
          }
        });
      }
    }
    for (auto& group : all) group->wait();
    EXPECT_EQ(wrong, 0);
  });
}

TEST_P(owners, without_a_p_allocations_still_belong_to_the_task) {
  run([] {
    test_group group("blocks");
    std::atomic<bool> right{false};
    group.go([&] {
      blocking([&] {
        for (int i = 0; i < 100; ++i) {
          void* object = allocate(32, 8, span_kind::scanned);
          right = span_with(object).owner == group.of.heap.get();
        }
      });
    });
    group.wait();
    EXPECT_TRUE(right);
    EXPECT_EQ(group.of.heap.figures().live_objects(), 100U);
  });
}

TEST_P(owners, threads_outside_allocate_for_no_task) {
  run([] {
    void* object = nullptr;
    blocking([&] { std::thread([&] { object = allocate(32, 8, span_kind::scanned); }).join(); });
    EXPECT_EQ(span_with(object).owner, &orphans());
  });
}

TEST_P(owners, what_a_task_leaves_behind_is_an_orphan_and_is_collected) {
  run([] {
    rt_test::collect({});
    std::uint64_t before = read_heap_figures().live_objects();
    unsigned char* escaped = nullptr;
    unsigned char* large = nullptr;
    {
      test_group group("ends");
      group.go([&] {
        for (int i = 0; i < 1000; ++i) escaped = static_cast<unsigned char*>(allocate(200, 8, span_kind::scanned));
        std::memset(escaped, 7, 200);
        large = static_cast<unsigned char*>(allocate(50'000, 8, span_kind::plain));
        std::memset(large, 9, 50'000);
      });
      group.wait();
    }
    EXPECT_EQ(span_with(escaped).owner, &orphans());
    EXPECT_EQ(span_with(large).owner, &orphans());
    EXPECT_EQ(read_heap_figures().live_objects() - before, 1001U) << "the figures do not lose what a task did";
    rt_test::collect({escaped, large});
    EXPECT_EQ(read_heap_figures().live_objects() - before, 2U);
    EXPECT_EQ(escaped[199], 7);
    EXPECT_EQ(large[49'999], 9);
    rt_test::collect({});
    EXPECT_EQ(read_heap_figures().live_objects(), before);
  });
}

// A span that is handed down while the sweeper passes by must not come into the next marking unswept: the lists would
// be mixed up by it.
TEST_P(owners, the_end_of_a_task_hides_no_span_from_the_sweeper) {
  run([] {
    int unswept = 0;
    for (int round = 0; round < 10; ++round) {
      std::optional<test_group> group("ends");
      group->go([] {
        for (int i = 0; i < 8000; ++i) static_cast<void>(allocate(1024, 8, span_kind::plain));
      });
      group->wait();
      rt_test::begin_mark();
      rt_test::with_world_stopped(rt_test::mark_all);
      rt_test::end_mark();
      std::atomic<bool> begun{false};
      std::thread sweeper([&] {
        begun = true;
        rt_test::finish_sweep();
      });
      while (!begun) os::cpu_pause();
      group.reset();
      blocking([&] { sweeper.join(); });
      for_each_span([&](span& one) { unswept += the_heap().is_stale(one) && one.place == span_place::listed ? 1 : 0; });
      rt_test::collect({});
    }
    EXPECT_EQ(unswept, 0);
  });
}

struct held_kibibyte {
  rt::ref<held_kibibyte> next;
  char rest[992];
};

TEST_P(owners, at_the_hard_limit_only_that_task_fails) {
  run([] {
    rt_test::collect({});
    test_group limited("limited");
    test_group other("other");
    limited.of.heap.set_limits(SIZE_MAX, 1 << 20);
    std::atomic<int> made{0};
    std::atomic<bool> threw{false};
    std::atomic<bool> large_threw{false};
    limited.go([&] {
      held_kibibyte* chain = nullptr;  // kept: the collection at the limit must find nothing
      try {
        while (made < 10'000) {
          held_kibibyte* fresh = rt::make<held_kibibyte>();
          fresh->next = chain;
          chain = fresh;
          ++made;
        }
      } catch (const out_of_task_memory& error) {
        threw = std::strstr(error.what(), "limit") != nullptr;
      }
      try {
        static_cast<void>(allocate(200'000, 8, span_kind::plain));
      } catch (const out_of_task_memory&) {
        large_threw = true;
      }
      rt::keep_alive(chain);
    });
    limited.wait();
    EXPECT_TRUE(threw);
    EXPECT_TRUE(large_threw);
    EXPECT_GE(made, (1 << 20) / 1024 * 3 / 4);
    EXPECT_LE(limited.of.heap.figures().span_bytes, 1U << 20);
    other.go([] {
      for (int i = 0; i < 3000; ++i) static_cast<void>(allocate(1000, 8, span_kind::plain));
    });
    other.wait();
    EXPECT_GE(other.of.heap.figures().span_bytes, 3'000'000U);
    rt_test::collect({});
    EXPECT_LE(limited.of.heap.figures().span_bytes, 16 * heap_page_size) << "what caches hold";
    std::atomic<bool> goes_on{false};
    limited.go([&] { goes_on = allocate(1000, 8, span_kind::plain) != nullptr; });
    limited.wait();
    EXPECT_TRUE(goes_on);
  });
}

TEST_P(owners, the_collector_is_asked_at_the_limit) {
  static std::atomic<int> asked;
  static const collector_hooks hooks = {nullptr,
                                        [](heap_owner& user, std::size_t bytes, int) {
                                          ++asked;
                                          user.set_limits(SIZE_MAX, user.hard_limit() + bytes);
                                          return true;
                                        },
                                        nullptr, nullptr, nullptr};
  run([] {
    asked = 0;
    test_group group("grows");
    group.of.heap.set_limits(SIZE_MAX, 100'000);
    set_collector_hooks(hooks);
    group.go([] {
      for (int i = 0; i < 1000; ++i) static_cast<void>(allocate(1000, 8, span_kind::plain));
    });
    group.wait();
    the_heap().hooks = nullptr;
    EXPECT_GE(asked, 1000 / class_shapes[size_class_of(1000)].slots - 4) << "for each span beyond the limit";
    EXPECT_EQ(group.of.heap.figures().live_objects(), 1000U);
  });
}

// A P whose last green thread was of a task that has ended does not hand out its slots to the next task, though that
// one lies at the same address.
TEST(owner, a_p_forgets_the_caches_of_a_task_that_ends) {
  proc_head p;
  constexpr std::size_t place = heap_places - 1;
  add_place(p, place);
  {
    task_heap ends;
    allocation_cache* cache = ends.need().need_cache(place);
    use_heap(p, &ends);
    ASSERT_EQ(p.runs, cache);
  }
  EXPECT_EQ(p.runs, &no_runs);
  remove_place(p);
}

// Groups come and go while others allocate and somebody sweeps.
TEST_P(owners, tasks_end_while_others_sweep) {
  run([] {
    std::atomic<bool> stop{false};
    wait_group sweeper;
    sweeper.add(1);
    go([&] {
      while (!stop) {
        rt_test::begin_mark();
        rt_test::mark_all();
        rt_test::end_mark();
        // At least once: on one P a slice's signal that comes while all is stopped is put off, which is nearly always.
        do {
          yield();
        } while (sweep_some(3));
      }
      sweeper.done();
    });
    for (int round = 0; round < rt_test::scaled(60); ++round) {
      test_group group("short");
      std::vector<unsigned char*> mine[3];
      for (auto& to : mine) {
        group.go([&to] {
          for (int i = 0; i < 200; ++i) {
            to.push_back(static_cast<unsigned char*>(allocate(500, 8, span_kind::scanned)));
            std::memset(to.back(), 3, 500);
          }
        });
      }
      group.wait();
      for (auto& to : mine) {
        for (unsigned char* one : to) ASSERT_EQ(one[499], 3);
      }
    }
    stop = true;
    sweeper.wait();
    rt_test::collect({});
    rt_test::collect({});
  });
}

}  // namespace
}  // namespace rt::detail
