// What is collected and what is not.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "rt/chan.h"
#include "rt/gc_stats.h"
#include "rt/go.h"
#include "rt/rt.h"
#include "rt/test.h"
#include "runtime/gc/collector.h"
#include "tests/runtime/gc/objects.h"

namespace {

using rt_test::are_destroyed;
using rt_test::chain_length;
using rt_test::clear_stack;
using rt_test::make_chain;
using rt_test::node;
using rt_test::out_of_sight;
using rt_test::scaled;
using rt_test::tally;

RT_ON_PROCS(collect);

TEST_P(collect, what_nothing_refers_to_is_destroyed) {
  run([] {
    tally count;
    out_of_sight([&] {
      for (int i = 0; i < 100; ++i) static_cast<void>(rt::make<node>(count));
    });
    // A word that was left somewhere may keep a few.
    EXPECT_TRUE(are_destroyed(count, 95)) << count.destroyed;
  });
}

TEST_P(collect, a_local_variable_keeps_what_it_reaches) {
  run([] {
    tally count;
    node* first = make_chain(count, 1000);
    for (int i = 0; i < 3; ++i) rt::gc();
    EXPECT_EQ(count.destroyed, 0);
    EXPECT_EQ(chain_length(first), 1000);
    EXPECT_EQ(first->value, 999);
  });
}

TEST_P(collect, a_cycle_is_no_reason_to_stay) {
  run([] {
    tally count;
    out_of_sight([&] {
      for (int i = 0; i < 20; ++i) {
        node* first = make_chain(count, 10);
        node* last = first;
        while (last->next != nullptr) last = last->next;
        last->next = first;
      }
    });
    EXPECT_TRUE(are_destroyed(count, 180)) << count.destroyed;
  });
}

TEST_P(collect, a_pointer_into_the_middle_keeps_the_whole) {
  run([] {
    tally count;
    int* inside = nullptr;
    out_of_sight([&] {
      node* one = rt::make<node>(count, 42);
      one->next = make_chain(count, 3);
      inside = &one->value;
    });
    for (int i = 0; i < 3; ++i) rt::gc();
    EXPECT_EQ(count.destroyed, 0);
    EXPECT_EQ(*inside, 42);
  });
}

TEST_P(collect, the_end_of_an_array_keeps_it) {
  run([] {
    std::uint64_t* end = nullptr;
    constexpr std::size_t length = 512;  // a slot of its own size, or the next object would begin at the end
    out_of_sight([&] {
      std::uint64_t* first = rt::make_array<std::uint64_t>(length);
      for (std::size_t i = 0; i < length; ++i) first[i] = i;
      end = first + length;
    });
    for (int i = 0; i < 3; ++i) rt::gc();
    for (int i = 0; i < 1000; ++i) static_cast<void>(rt::make_array<std::uint64_t>(length));
    for (std::size_t i = 0; i < length; ++i) ASSERT_EQ(end[-1 - static_cast<std::ptrdiff_t>(i)], length - 1 - i);
  });
}

TEST_P(collect, deep_chains_need_no_deep_stack) {
  run([] {
    tally count;
    int length = scaled(300'000);
    node* first = make_chain(count, length);
    rt::gc();
    EXPECT_EQ(count.destroyed, 0);
    EXPECT_EQ(chain_length(first), length);
  });
}

// A queue as a list through which everything passes, and a word somewhere that is taken for a reference to one of the
// first nodes: it keeps what it points to, and with it all that came after, unless who takes a node out cuts its link.
TEST_P(collect, one_false_reference_keeps_one_node_of_a_queue_that_cuts_links) {
  run([] {
    tally count;
    rt::ref<node>* ends = rt::make_array<rt::ref<node>>(2);
    node* volatile false_one = nullptr;
    constexpr int passed = 5000;
    out_of_sight([&] {
      ends[0] = ends[1] = rt::make<node>(count, 0);
      false_one = ends[0];
      for (int i = 1; i < passed; ++i) {
        node* fresh = rt::make<node>(count, i);
        ends[1]->next = fresh;
        ends[1] = fresh;
        if (i < 10) continue;
        node* taken = ends[0];
        ends[0] = taken->next;
        taken->next = nullptr;
      }
    });
    EXPECT_TRUE(are_destroyed(count, passed - 30)) << count.destroyed;
    EXPECT_TRUE(false_one->is_alive());
    EXPECT_EQ(chain_length(ends[0]), 10);
    rt::keep_alive(ends);
  });
}

TEST_P(collect, large_arrays_of_references_are_looked_into_to_the_end) {
  run([] {
    tally count;
    constexpr std::size_t length = 100'000;
    auto* all = rt::make_array<rt::ref<node>>(length);
    out_of_sight([&] {
      for (std::size_t i = 0; i < length; i += 1000) all[i] = rt::make<node>(count, static_cast<int>(i));
      all[length - 1] = rt::make<node>(count, static_cast<int>(length - 1));
    });
    for (int i = 0; i < 3; ++i) rt::gc();
    EXPECT_EQ(count.destroyed, 0);
    EXPECT_EQ(all[length - 1]->value, static_cast<int>(length - 1));
    out_of_sight([&] {
      for (std::size_t i = 0; i < length; ++i) all[i] = nullptr;
    });
    EXPECT_TRUE(are_destroyed(count, 95)) << count.destroyed;
    rt::keep_alive(all);
  });
}

TEST_P(collect, objects_without_pointers_keep_nothing) {
  run([] {
    tally count;
    std::uintptr_t* words = rt::make_array<std::uintptr_t>(100);
    out_of_sight([&] {
      for (int i = 0; i < 100; ++i) words[i] = reinterpret_cast<std::uintptr_t>(rt::make<node>(count));
    });
    EXPECT_TRUE(are_destroyed(count, 95)) << count.destroyed;
    rt::keep_alive(words);
  });
}

TEST_P(collect, many_may_ask_for_collections_at_once) {
  run([] {
    tally count;
    node* first = make_chain(count, 100);
    rt::wait_group all;
    for (int i = 0; i < 20; ++i) {
      all.add();
      rt::go([&] {
        for (int k = 0; k < 3; ++k) rt::gc();
        all.done();
      });
    }
    all.wait();
    EXPECT_EQ(chain_length(first), 100);
  });
}

TEST_P(collect, memory_is_used_again) {
  run([] {
    std::uint64_t before = 0;
    for (int round = 0; round < 4; ++round) {
      for (int i = 0; i < scaled(20'000); ++i) static_cast<void>(rt::make_array<char>(1000));
      rt::gc();
      std::uint64_t now = rt::detail::read_heap_figures().span_bytes;
      if (round == 1) before = now;
      if (round > 1) {
        EXPECT_LE(now, before + (4 << 20));
      }
    }
  });
}

TEST_P(collect, garbage_alone_makes_it_run) {
  run([] {
    std::uint64_t before = rt::detail::the_collector().completed();
    EXPECT_TRUE(rt_test::eventually([&] {
      for (int i = 0; i < 10'000; ++i) static_cast<void>(rt::make_array<char>(1000));
      return rt::detail::the_collector().completed() > before + 2;
    }));
  });
}

// It makes no other call of the runtime, and is asked long before its slice is over.
TEST(collect_outside, a_loop_that_allocates_makes_way) {
  rt_test::in_runtime(1, [] {
    std::atomic<bool> other_ran{false};
    rt::go([&] { other_ran = true; });
    rt::detail::the_scheduler()->proc(0).attention.fetch_or(rt::detail::attention::preempt);
    std::uint64_t frozen = rt::detail::the_scheduler()->counters().freezes;
    for (int i = 0; i < 100 && !other_ran; ++i) static_cast<void>(rt::make_array<char>(1000));
    EXPECT_TRUE(other_ran || rt::detail::the_scheduler()->counters().freezes != frozen) << "it has not made way";
  });
}

#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__) && !defined(__aarch64__)
// Sanitizers and emulators need address space of their own.
TEST_P(collect, waits_for_its_thread_where_the_system_has_no_memory_for_one) {
  run([] {
    rlimit former{};
    ASSERT_EQ(getrlimit(RLIMIT_AS, &former), 0);
    std::atomic<bool> asked{false};
    // Gives the memory back when the first try has failed.
    std::thread helper([&] {
      while (!asked.load()) std::this_thread::yield();
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      setrlimit(RLIMIT_AS, &former);
    });
    const rlimit none{1, former.rlim_max};
    ASSERT_EQ(setrlimit(RLIMIT_AS, &none), 0);
    asked.store(true);
    rt::gc();
    rt::blocking([&] { helper.join(); });
    EXPECT_GE(rt::read_gc_stats().cycles_forced_total, 1U);
  });
}
#endif

TEST(collect_outside, nothing_is_collected_without_a_runtime) { rt::gc(); }

TEST(collect_outside, in_a_bubble_it_works_and_time_stands_still) {
  rt::test::bubble([] {
    rt::time_point before = rt::now();
    tally count;
    node* first = make_chain(count, 10);
    rt::gc();
    EXPECT_EQ(chain_length(first), 10);
    EXPECT_EQ(rt::now(), before);
  });
}

TEST(collect_outside, a_thread_of_the_program_may_ask_for_it) {
  rt_test::in_runtime(2, [] {
    tally count;
    out_of_sight([&] {
      for (int i = 0; i < 100; ++i) static_cast<void>(rt::make<node>(count));
    });
    std::thread other([] { rt::gc(); });
    rt::blocking([&] { other.join(); });
    EXPECT_TRUE(rt_test::eventually([&] { return count.destroyed > 90; }));
  });
}

}  // namespace
