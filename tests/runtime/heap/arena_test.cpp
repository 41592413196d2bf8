#include "rt/arena.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "rt/usage_error.h"
#include "runtime/heap/heap_state.h"
#include "tests/runtime/death_tests.h"
#include "tests/runtime/heap/pretend_collector.h"
#include "tests/runtime/in_runtime.h"

namespace {

RT_ON_PROCS(arenas);
using rt::detail::span_of;

std::uintptr_t word(const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer); }

struct point {
  int x, y;
};
struct holder {
  rt::ref<int> number;
  holder* next = nullptr;
};

TEST_P(arenas, give_distinct_aligned_objects) {
  run([] {
    rt::arena mine;
    std::vector<point*> points;
    for (int i = 0; i < 50'000; ++i) {
      points.push_back(mine.make<point>(i, -i));
      if (i % 7 == 0) *mine.make<char>() = 'x';
    }
    for (int i = 0; i < 50'000; ++i) {
      ASSERT_EQ(points[static_cast<std::size_t>(i)]->x, i);
      ASSERT_EQ(points[static_cast<std::size_t>(i)]->y, -i);
      ASSERT_EQ(word(points[static_cast<std::size_t>(i)]) % alignof(point), 0U);
    }
    EXPECT_GE(mine.used(), 50'000 * sizeof(point));
    EXPECT_LE(mine.used(), 50'000 * sizeof(point) + 7143 * 4);
    struct alignas(256) wide {
      int value = 3;
    };
    EXPECT_EQ(word(mine.make<wide>()) % 256, 0U);
    long* large = mine.make_array<long>(1'000'000);
    EXPECT_EQ(large[999'999], 0);
    EXPECT_EQ(span_of(word(large)), span_of(word(large + 1'000'000)));
  });
}

TEST_P(arenas, end_at_once) {
  run([] {
    rt_test::collect({});
    rt::detail::heap_figures before = rt::detail::read_heap_figures();
    {
      rt::arena mine;
      for (int i = 0; i < 100; ++i) std::memset(mine.make_array<char>(100'000), 1, 100'000);
      EXPECT_GE(rt::detail::read_heap_figures().span_bytes, before.span_bytes + 10'000'000);
    }
    rt::detail::heap_figures after = rt::detail::read_heap_figures();
    EXPECT_EQ(after.span_bytes, before.span_bytes) << "without a collection";
    EXPECT_EQ(after.live_bytes(), before.live_bytes());
    rt_test::collect({});
    rt::detail::heap_figures collected = rt::detail::read_heap_figures();
    EXPECT_EQ(collected.span_bytes, before.span_bytes);
    EXPECT_EQ(collected.freed_objects - collected.allocated_objects, before.freed_objects - before.allocated_objects);
    char* again = rt::make_array<char>(5'000'000);
    std::memset(again, 1, 5'000'000);  // the addresses can be used again
  });
}

TEST_P(arenas, move_with_all_they_have) {
  run([] {
    rt::arena first;
    int* number = first.make<int>(5);
    rt::arena second(std::move(first));
    EXPECT_EQ(*number, 5);
    int* other = second.make<int>(6);
    EXPECT_EQ(other, number + 1) << "it goes on in the same chunk";
    rt::arena third;
    third = std::move(second);
    EXPECT_EQ(*other, 6);
    EXPECT_EQ(third.used(), 2 * sizeof(int));
  });
}

// A collection finds the chunks from the last one, and in them what they refer to.
TEST_P(arenas, chunks_are_scanned_and_refer_to_each_other) {
  run([] {
    rt::arena mine;
    holder* one = mine.make<holder>();
    one->number = rt::make<int>(77);
    EXPECT_EQ(span_of(word(one))->kind, rt::detail::span_kind::scanned);
    holder* later = nullptr;
    for (int i = 0; i < 10'000; ++i) later = mine.make<holder>();
    auto* last = reinterpret_cast<rt::detail::arena_chunk*>(span_of(word(later))->begin());
    auto* first = reinterpret_cast<rt::detail::arena_chunk*>(span_of(word(one))->begin());
    int chunks = 1;
    for (; last != first; last = last->before.get()) ++chunks;
    EXPECT_GE(chunks, 2);
    EXPECT_EQ(first->before.get(), nullptr);
  });
}

TEST_P(arenas, ended_while_the_collector_marks_are_closed_by_the_sweep) {
  run([] {
    char* object = nullptr;
    rt_test::begin_mark();
    {
      rt::arena mine;
      object = mine.make_array<char>(100'000);
      std::memset(object, 1, 100'000);
    }
    // A marker may be in the middle of it: its memory reads as zero, by an access that no sanitizer sees.
    rt::detail::span* in = span_of(word(object));
    EXPECT_EQ(in->end, rt::detail::span_end::given_up);
    EXPECT_TRUE(rt_test::mark(object));
    rt_test::end_mark();
    rt_test::finish_sweep();
    EXPECT_EQ(in->end, rt::detail::span_end::forbidden);
    EXPECT_STREQ(rt::detail::describe_heap_address(word(object)), "a freed arena");
    rt_test::collect({});
    EXPECT_STREQ(rt::detail::describe_heap_address(word(object)), "free pages of the collected heap");
  });
}

TEST_P(arenas, refuse_to_lie_in_a_collected_object) {
  struct owns_one {
    rt::arena mine;
  };
  run([] {
    owns_one* object = rt::make<owns_one>();
    EXPECT_THROW(static_cast<void>(object->mine.make<int>(1)), rt::usage_error);
  });
}

TEST_P(arenas, refuse_absurd_sizes) {
  run([] {
    rt::arena mine;
    EXPECT_THROW(static_cast<void>(mine.make_array<long>(SIZE_MAX / 8)), std::bad_array_new_length);
    EXPECT_THROW(static_cast<void>(mine.make_array<char>(rt::detail::the_layout.size)), std::bad_alloc);
    EXPECT_EQ(*mine.make<int>(3), 3);
  });
}

TEST(arena_death, use_after_the_end_is_caught) {
  rt_test::prepare_death_test();
  EXPECT_DEATH(
      {
        volatile int* number = nullptr;
        {
          rt::arena mine;
          number = mine.make<int>(1);
        }
        *number = 2;
      },
      "");
}

}  // namespace
