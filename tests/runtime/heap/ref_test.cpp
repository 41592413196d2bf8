// Stored references: what they tell the collector, and when.
#include "rt/ref.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "rt/make.h"
#include "runtime/heap/heap_state.h"
#include "tests/runtime/heap/pretend_collector.h"

namespace {

struct told {
  const void* old_value;
  const void* new_value;
  const void* in_slot;  // when it was told
  bool operator==(const told&) const = default;
};
std::vector<told> all_told;
const rt::ref<int>* watched = nullptr;

const rt::detail::collector_hooks listening = {nullptr, nullptr,
                                               [](const void* old_value, const void* new_value) noexcept {
                                                 const void* now = watched == nullptr ? nullptr : watched->get();
                                                 all_told.push_back({old_value, new_value, now});
                                               },
                                               nullptr};

class refs : public testing::Test {
 protected:
  refs() {
    all_told.clear();
    watched = nullptr;
    rt::detail::set_collector_hooks(listening);
  }
  ~refs() override {
    if (rt::detail::gc_marking) rt_test::end_mark();
    rt::detail::the_heap().hooks = nullptr;
    rt_test::finish_sweep();
  }
  int* const a = rt::make<int>(1);
  int* const b = rt::make<int>(2);
};

TEST_F(refs, tell_nothing_while_nobody_marks) {
  rt::ref<int> one = a;
  one = b;
  rt::ref<int> other = one;
  swap(one, other);
  one = nullptr;
  EXPECT_TRUE(all_told.empty());
  EXPECT_EQ(other.get(), b);
  EXPECT_EQ(one.get(), nullptr);
}

TEST_F(refs, tell_old_and_new_before_the_store_while_marking) {
  rt::ref<int> one = a;
  watched = &one;
  rt_test::begin_mark();
  one = b;
  EXPECT_EQ(all_told, (std::vector<told>{{a, b, a}}));
  EXPECT_EQ(one.get(), b);
  all_told.clear();
  one = nullptr;
  EXPECT_EQ(all_told, (std::vector<told>{{b, nullptr, b}}));
  all_told.clear();
  rt::ref<int>& same = one;
  one = a;
  one = same;
  EXPECT_EQ(all_told, (std::vector<told>{{nullptr, a, nullptr}, {a, a, a}}));
  rt_test::end_mark();
  all_told.clear();
  one = b;
  EXPECT_TRUE(all_told.empty());
}

TEST_F(refs, tell_nothing_of_what_is_marked_already) {
  struct wide {
    std::uintptr_t words[4];
  };
  wide* found = rt::make<wide>();
  wide* unknown = rt::make<wide>();
  rt_test::begin_mark();
  ASSERT_TRUE(rt_test::mark(found));
  auto* inside = reinterpret_cast<wide*>(&found->words[2]);
  rt::ref<wide> one = found;
  one = inside;
  one = nullptr;
  EXPECT_TRUE(all_told.empty());
  one = unknown;
  one = found;
  EXPECT_EQ(all_told, (std::vector<told>{{nullptr, unknown, nullptr}, {unknown, found, nullptr}}));
  all_told.clear();
  wide* fresh = rt::make<wide>();  // born marked
  one = fresh;
  EXPECT_TRUE(all_told.empty());
}

TEST_F(refs, tell_of_initial_values_that_are_not_null) {
  rt_test::begin_mark();
  rt::ref<int> one = a;
  rt::ref<int> copy = one;
  rt::ref<int> moved = std::move(copy);  // NOLINT(performance-move-const-arg): that it copies is what is tested
  EXPECT_EQ(all_told, (std::vector<told>{{nullptr, a, nullptr}, {nullptr, a, nullptr}, {nullptr, a, nullptr}}));
  all_told.clear();
  rt::ref<int> none;
  rt::ref<int> null = nullptr;
  EXPECT_TRUE(all_told.empty());
  EXPECT_EQ(none.get(), null.get());
  EXPECT_EQ(moved.get(), a);
}

TEST_F(refs, swaps_and_moves_of_algorithms_lose_nothing) {
  std::vector<rt::ref<int>> three(3);
  three[0] = a;
  three[1] = b;
  rt_test::begin_mark();
  std::rotate(three.begin(), three.begin() + 1, three.end());
  EXPECT_EQ(three[0].get(), b);
  EXPECT_EQ(three[2].get(), a);
  for (int* one : {a, b}) {
    EXPECT_TRUE(std::any_of(all_told.begin(), all_told.end(), [&](const told& t) { return t.new_value == one; }));
  }
}

struct base {
  int value = 3;
};
struct derived : base {};

TEST_F(refs, convert_as_pointers_do) {
  derived* object = rt::make<derived>();
  rt::ref<derived> one = object;
  rt::ref<base> upwards = one;
  EXPECT_EQ(upwards->value, 3);
  upwards = nullptr;
  upwards = one;
  EXPECT_EQ((*upwards).value, 3);
  base* pointer = upwards;
  EXPECT_EQ(pointer, object);
  EXPECT_TRUE(upwards == pointer);
  EXPECT_FALSE(upwards == nullptr);
  rt::ref<const base> constant = one;
  EXPECT_EQ(constant.get(), object);
  static_assert(!std::is_convertible_v<rt::ref<base>, rt::ref<derived>>);
  static_assert(std::is_trivially_destructible_v<rt::ref<base>>);
  rt::ref<void> anything = object;
  EXPECT_EQ(anything.get(), object);
}

}  // namespace
