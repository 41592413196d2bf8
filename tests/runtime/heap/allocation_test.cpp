#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <set>
#include <string>
#include <vector>

#include "rt/make.h"
#include "rt/ref.h"
#include "runtime/heap/class_table.h"
#include "tests/runtime/heap/pretend_collector.h"
#include "tests/runtime/in_runtime.h"

namespace rt::detail {
namespace {

RT_ON_PROCS(allocations);

std::uintptr_t word(const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer); }

bool is_zero(const void* memory, std::size_t size) {
  const auto* bytes = static_cast<const unsigned char*>(memory);
  return std::all_of(bytes, bytes + size, [](unsigned char one) { return one == 0; });
}

void check_every_class() {
  for (std::size_t i = 0; i < size_class_count; ++i) {
    std::size_t size = size_of_class(i);
    std::set<char*> seen;
    for (int round = 0; round < 3; ++round) {
      auto* object = static_cast<char*>(allocate(size, 8, span_kind::scanned));
      ASSERT_TRUE(is_zero(object, size)) << size;
      ASSERT_EQ(word(object) % 8, 0U);
      ASSERT_TRUE(seen.insert(object).second);
      std::memset(object, 0xff, size);
    }
    for (char* object : seen) {
      for (std::size_t offset = 0; offset<size; offset += size> 512 ? 37 : 1) {
        object_place place{};
        ASSERT_TRUE(find_object(word(object + offset), place)) << offset << " in an object of " << size;
        ASSERT_EQ(place.begin, object) << offset << " in an object of " << size;
        ASSERT_EQ(place.size, size);
        ASSERT_EQ(place.in->slot(place.index), object);
      }
    }
  }
}

TEST_P(allocations, every_class_gives_zeroed_slots_that_each_inner_address_finds) { run(&check_every_class); }

TEST(allocation, works_on_threads_that_are_none_of_the_runtimes) { check_every_class(); }

TEST_P(allocations, addresses_that_are_no_objects_find_none) {
  run([] {
    object_place place{};
    EXPECT_FALSE(find_object(0, place));
    EXPECT_FALSE(find_object(word(&place), place));
    EXPECT_FALSE(find_object(the_layout.base - 1, place));
    EXPECT_FALSE(find_object(the_layout.base + the_layout.size, place));
    EXPECT_FALSE(find_object(the_layout.base + the_layout.size - 1, place)) << "never used";
    // Slots that the cache has and nobody got yet.
    auto* object = static_cast<char*>(allocate(48, 8, span_kind::scanned));
    span* in = span_of(word(object));
    ASSERT_NE(in, nullptr);
    std::size_t allocated = 0;
    for (std::size_t i = 0; i < in->slot_count(); ++i) allocated += in->is_allocated(i) ? 1 : 0;
    EXPECT_LT(allocated, in->slot_count());
    EXPECT_FALSE(find_object(word(object + 48), place)) << "the next slot of the run";
    // What remains behind the last slot.
    EXPECT_FALSE(find_object(word(in->begin() + in->slot_count() * 48), place));
    keep_alive(object);
  });
}

TEST_P(allocations, large_objects_are_found_by_each_of_their_pages_and_freed) {
  run([] {
    auto* object = static_cast<char*>(allocate(1'000'000, 8, span_kind::scanned));
    EXPECT_TRUE(is_zero(object, 1'000'000));
    std::memset(object, 0xff, 1'000'000);
    object_place place{};
    for (std::size_t offset = 0; offset < 1'000'000; offset += 4099) {
      ASSERT_TRUE(find_object(word(object + offset), place));
      ASSERT_EQ(place.begin, object);
      ASSERT_GE(place.size, 1'000'000U);
    }
    rt_test::collect({object});
    EXPECT_TRUE(find_object(word(object), place));
    rt_test::collect({});
    EXPECT_FALSE(find_object(word(object), place));
    EXPECT_FALSE(find_object(word(object + 999'999), place));
    auto* next = static_cast<char*>(allocate(1'000'000, 8, span_kind::scanned));
    EXPECT_TRUE(is_zero(next, 1'000'000)) << "its pages have been used before";
  });
}

TEST_P(allocations, absurd_sizes_are_refused) {
  run([] {
    EXPECT_THROW(static_cast<void>(allocate(the_layout.size + 1, 8, span_kind::plain)), std::bad_alloc);
    EXPECT_THROW(static_cast<void>(allocate(SIZE_MAX, 8, span_kind::plain)), std::bad_alloc);
    EXPECT_THROW(static_cast<void>(make_array<long>(SIZE_MAX / 8)), std::bad_array_new_length);
    EXPECT_NE(make<int>(1), nullptr) << "the heap goes on";
  });
}

struct node {
  ref<node> left, right;
  int value = 0;
};
struct alignas(64) padded {
  int value = 7;
};
struct pair_of_numbers {
  int a, b;
};
enum class colour : short { red };

static_assert(noscan<int> && noscan<double> && noscan<colour> && noscan<const char> && noscan<int[3]>);
static_assert(!noscan<int*> && !noscan<node> && !noscan<pair_of_numbers>);
static_assert(sizeof(ref<node>) == sizeof(node*));
static_assert(std::is_trivially_destructible_v<node>);

TEST_P(allocations, make_constructs) {
  run([] {
    node* root = make<node>();
    EXPECT_EQ(root->value, 0);
    root->left = make<node>(nullptr, root, 5);
    EXPECT_EQ(root->left->value, 5);
    EXPECT_EQ(root->left->right.get(), root);
    EXPECT_EQ(make<pair_of_numbers>(1, 2)->b, 2);
    EXPECT_EQ(make<pair_of_numbers>()->a, 0);
    EXPECT_EQ(*make<int>(42), 42);
    EXPECT_EQ(make<std::string>(1000, 'x')->size(), 1000U);
    for (int i = 0; i < 100; ++i) EXPECT_EQ(word(make<padded>()) % 64, 0U);
    using big = std::array<int, 20000>;
    EXPECT_EQ((*make<big>())[19999], 0);
  });
}

TEST_P(allocations, kinds_are_chosen_by_type) {
  run([] {
    EXPECT_EQ(span_of(word(make<node>()))->kind, span_kind::scanned);
    EXPECT_EQ(span_of(word(make<long double>(1.0L)))->kind, span_kind::plain);
    EXPECT_EQ(span_of(word(make<int>(1)))->kind, span_kind::plain);
    EXPECT_EQ(span_of(word(make<std::string>("text")))->kind, span_kind::destroyed);
    EXPECT_EQ(span_of(word(make_array<char>(100)))->kind, span_kind::plain);
    EXPECT_EQ(span_of(word(make_array<ref<node>>(100)))->kind, span_kind::scanned);
  });
}

TEST_P(allocations, an_arrays_end_belongs_to_it) {
  run([] {
    for (std::size_t count : {0UL, 1UL, 2UL, 8UL, 16UL, 100UL, 4096UL, 100'000UL}) {
      long* array = make_array<long>(count);
      for (std::size_t i = 0; i < count; ++i) ASSERT_EQ(array[i], 0);
      object_place place{};
      ASSERT_TRUE(find_object(word(array + count), place)) << count;
      EXPECT_EQ(place.begin, reinterpret_cast<char*>(array)) << count;
    }
  });
}

TEST_P(allocations, tiny_objects_share_slots) {
  run([] {
    std::set<std::uintptr_t> slots;
    std::vector<char*> bytes;
    for (int i = 0; i < 160; ++i) bytes.push_back(make<char>(static_cast<char>(i)));
    for (char* one : bytes) slots.insert(word(one) / 16);
    if (rt_test::is_stressed()) {
      EXPECT_EQ(slots.size(), 160U) << "gcstress gives each a slot of its own";
    } else {
      EXPECT_LE(slots.size(), 13U) << "16 of them in each slot, but for a first one that may have been begun";
    }
    for (int i = 0; i < 160; ++i) EXPECT_EQ(*bytes[static_cast<std::size_t>(i)], static_cast<char>(i));
    static_cast<void>(make<char>());
    EXPECT_EQ(word(make<double>(1)) % 8, 0U);
    static_cast<void>(make<char>());
    EXPECT_EQ(word(make<short>(short{1})) % 2, 0U);
  });
}

// Slots that were used and freed are zero again when they come back, in whatever piece of a span.
TEST_P(allocations, recycled_slots_are_zero) {
  run([] {
    for (std::size_t size : {16UL, 48UL, 1024UL, 5000UL, 32768UL}) {
      std::vector<void*> objects;
      for (std::size_t i = 0; i < 300'000 / size + 10; ++i) {
        objects.push_back(allocate(size, 8, span_kind::scanned));
        std::memset(objects.back(), 0xff, size);
      }
      std::vector<void*> live;
      for (std::size_t i = 0; i < objects.size(); i += 3) live.push_back(objects[i]);
      rt_test::collect(live);
      std::set<void*> kept(live.begin(), live.end());
      for (std::size_t i = 0; i < objects.size(); ++i) {
        void* object = allocate(size, 8, span_kind::scanned);
        ASSERT_TRUE(is_zero(object, size)) << size;
        ASSERT_EQ(kept.count(object), 0U) << "a live slot was handed out";
        std::memset(object, 0xff, size);
      }
    }
  });
}

}  // namespace
}  // namespace rt::detail
