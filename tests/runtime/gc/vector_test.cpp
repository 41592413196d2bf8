// rt::vector against std::vector, with elements that are references.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <ranges>
#include <stdexcept>
#include <vector>

#include "rt/vector.h"
#include "tests/runtime/gc/container_contents.h"
#include "tests/runtime/gc/objects.h"
#include "tests/runtime/seeds.h"

namespace {

using rt_test::boxed;
using rt_test::number_in;

static_assert(std::ranges::contiguous_range<rt::vector<int>>);
static_assert(std::is_trivially_destructible_v<rt::vector<rt::ref<boxed>>>);
static_assert(rt::detail::kind_of<rt::vector<int>> == rt::detail::span_kind::scanned);

RT_ON_PROCS(vector);

TEST_P(vector, does_what_std_vector_does) {
  run([] {
    rt::vector<int> one{3, 1, 2};
    std::ranges::sort(one);
    EXPECT_EQ(one, (rt::vector<int>{1, 2, 3}));
    EXPECT_LT(one, (rt::vector<int>{1, 2, 4}));
    one.insert(one.begin() + 1, {7, 8});
    EXPECT_EQ(one, (rt::vector<int>{1, 7, 8, 2, 3}));
    EXPECT_EQ(*one.erase(one.begin(), one.begin() + 2), 8);
    EXPECT_EQ(erase_if(one, [](int n) { return n % 2 == 0; }), 2U);
    EXPECT_EQ(one, (rt::vector<int>{3}));
    one.resize(4, one[0]);
    EXPECT_EQ(std::accumulate(one.begin(), one.end(), 0), 12);
    one.insert(one.begin(), one.begin(), one.end());
    EXPECT_EQ(one.size(), 8U);
    EXPECT_THROW(static_cast<void>(one.at(8)), std::out_of_range);
    EXPECT_THROW(one.reserve(one.max_size() + 1), std::length_error);
    rt::vector<int> copy(one);
    rt::vector<int> moved(std::move(one));
    EXPECT_TRUE(one.empty());
    EXPECT_EQ(copy, moved);
    copy.clear();
    copy.shrink_to_fit();
    EXPECT_EQ(copy.capacity(), 0U);
    EXPECT_EQ(moved.rbegin()[0], 3);
    rt::vector<rt::vector<int>> nested(3, {1, 2});
    nested[1].push_back(3);
    EXPECT_EQ(nested[0].size(), 2U);
    EXPECT_EQ(nested[1].size(), 3U);
  });
}

TEST_P(vector, random_calls_agree_with_std_vector) {
  rt_test::seeds seeds;
  run([&] {
    std::mt19937 random = seeds.source(0);
    auto below = [&](std::uint64_t bound) { return random() % bound; };
    rt_test::collections collect(500);
    rt::vector<rt::ref<boxed>> tested;
    std::vector<std::uint64_t> expected;
    std::uint64_t next = 1;
    for (int i = 0; i < rt_test::scaled(4000); ++i) {
      collect.step();
      auto at = static_cast<std::ptrdiff_t>(below(expected.size() + 1));
      switch (below(10)) {
        case 0:
        case 1:
        case 2:
          tested.push_back(rt::make<boxed>(next));
          expected.push_back(next++);
          break;
        case 3:
          tested.insert(tested.begin() + at, rt::ref<boxed>(rt::make<boxed>(next)));
          expected.insert(expected.begin() + at, next++);
          break;
        case 4:
          if (expected.empty()) break;
          tested.pop_back();
          expected.pop_back();
          break;
        case 5:
          if (at == static_cast<std::ptrdiff_t>(expected.size())) break;
          tested.erase(tested.begin() + at);
          expected.erase(expected.begin() + at);
          break;
        case 6: {  // a part of itself
          auto from = static_cast<std::ptrdiff_t>(below(expected.size() + 1));
          auto to = std::min<std::ptrdiff_t>(from + 5, static_cast<std::ptrdiff_t>(expected.size()));
          std::vector<std::uint64_t> part(expected.begin() + from, expected.begin() + to);
          tested.insert(tested.begin() + at, tested.begin() + from, tested.begin() + to);
          expected.insert(expected.begin() + at, part.begin(), part.end());
          break;
        }
        case 7: {
          rt::vector<rt::ref<boxed>> copy(tested);
          tested.clear();
          tested = std::move(copy);
          break;
        }
        case 8:
          if (expected.size() < 200) break;
          tested.resize(50);
          tested.shrink_to_fit();
          expected.resize(50);
          break;
        default:
          tested.reserve(expected.size() + below(20));
          break;
      }
      ASSERT_EQ(tested.size(), expected.size());
      if (i % 16 == 0) {
        for (std::size_t n = 0; n < expected.size(); ++n) ASSERT_EQ(number_in(tested[n]), expected[n]) << n;
      }
    }
  });
}

// Fails at the construction that is due.
struct fragile {
  static inline int until_failure = -1;
  int value;
  explicit fragile(int number) : value(number) {}
  fragile(const fragile& other) : value(other.value) {
    if (until_failure > 0 && --until_failure == 0) throw std::runtime_error("no copy");
  }
  fragile& operator=(const fragile&) = default;
};

TEST_P(vector, nothing_has_changed_when_a_copy_fails) {
  run([] {
    for (int failing = 1; failing <= 20; ++failing) {
      rt::vector<fragile> all;
      fragile::until_failure = -1;
      for (int i = 0; i < 16; ++i) all.emplace_back(i);
      all.shrink_to_fit();
      fragile::until_failure = failing;
      try {
        all.push_back(fragile(16));
      } catch (const std::runtime_error&) {
        EXPECT_EQ(all.size(), 16U);
        EXPECT_EQ(all.capacity(), 16U);
      }
      for (int i = 0; i < 16; ++i) EXPECT_EQ(all[static_cast<std::size_t>(i)].value, i);
      fragile::until_failure = -1;
    }
  });
}

TEST_P(vector, what_was_removed_is_not_kept) {
  run([] {
    rt_test::tally count;
    rt::vector<rt::ref<rt_test::node>> all;
    rt_test::out_of_sight([&] {
      for (int i = 0; i < 100; ++i) all.push_back(rt::make<rt_test::node>(count, i));
      for (int i = 0; i < 30; ++i) all.pop_back();
      all.erase(all.begin(), all.begin() + 30);
    });
    EXPECT_TRUE(rt_test::are_destroyed(count, 58)) << count.destroyed;
    EXPECT_EQ(all.size(), 40U);
    for (const auto& one : all) EXPECT_TRUE(one->is_alive());
    EXPECT_LE(count.destroyed, 60);
    rt_test::out_of_sight([&] { all.clear(); });
    EXPECT_TRUE(rt_test::are_destroyed(count, 98)) << count.destroyed;
  });
}

}  // namespace
