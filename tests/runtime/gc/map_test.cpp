// rt::map against std::unordered_map.
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <unordered_map>

#include "rt/map.h"
#include "rt/string.h"
#include "tests/runtime/gc/container_contents.h"
#include "tests/runtime/gc/objects.h"
#include "tests/runtime/seeds.h"

namespace {

using rt_test::boxed;
using rt_test::number_in;

static_assert(std::forward_iterator<rt::map<int, int>::iterator>);
static_assert(std::is_convertible_v<rt::map<int, int>::iterator, rt::map<int, int>::const_iterator>);
static_assert(std::is_trivially_destructible_v<rt::map<rt::string, rt::ref<boxed>>>);

RT_ON_PROCS(map);

TEST_P(map, finds_what_was_put_there) {
  run([] {
    rt::map<int, int> numbers{{1, 10}, {2, 20}};
    EXPECT_EQ(numbers.at(2), 20);
    EXPECT_EQ(numbers[3], 0);
    EXPECT_FALSE(numbers.try_emplace(1, 99).second);
    EXPECT_FALSE(numbers.insert_or_assign(1, 11).second);
    EXPECT_EQ(numbers.find(1)->value, 11);
    EXPECT_EQ(numbers.find(7), numbers.end());
    EXPECT_THROW(numbers.at(7), std::out_of_range);
    EXPECT_EQ(numbers.erase(2), 1U);
    EXPECT_EQ(numbers.erase(2), 0U);
    EXPECT_EQ(numbers.size(), 2U);
    int sum = 0;
    for (const auto& [key, value] : numbers) sum += key * value;
    EXPECT_EQ(sum, 11);
    rt::map<int, int> copy(numbers);
    EXPECT_EQ(copy, numbers);
    copy[1] = 0;
    EXPECT_FALSE(copy == numbers);
    rt::map<int, int> moved(std::move(numbers));
    EXPECT_TRUE(numbers.empty());
    EXPECT_EQ(numbers.find(1), numbers.end());
    EXPECT_EQ(moved.at(1), 11);
    moved.clear();
    EXPECT_TRUE(moved.empty());
    EXPECT_EQ(moved.begin(), moved.end());
    const rt::map<int, int> none;
    EXPECT_EQ(none.find(1), none.end());
    EXPECT_FALSE(none.contains(1));
  });
}

TEST_P(map, strings_are_found_by_views) {
  run([] {
    rt::map<rt::string, int> ages;
    ages["ada"] = 36;
    std::string name = "grace";
    ages[name] = 85;
    EXPECT_EQ(ages.at(std::string_view("ada")), 36);
    EXPECT_TRUE(ages.contains(rt::string("my grace").substr(3)));
    EXPECT_EQ(ages.find("alan"), ages.end());
    EXPECT_EQ(ages.erase(std::string_view("grace")), 1U);
    EXPECT_EQ(ages.size(), 1U);
  });
}

TEST_P(map, random_calls_agree_with_std_unordered_map) {
  rt_test::seeds seeds;
  run([&] {
    std::mt19937 random = seeds.source(0);
    rt_test::collections collect(2000);
    rt::map<rt::string, rt::ref<boxed>> tested;
    std::unordered_map<std::string, std::uint64_t> expected;
    std::uint64_t next = 1;
    auto compare = [&] {
      ASSERT_EQ(tested.size(), expected.size());
      std::size_t seen = 0;
      for (const auto& [key, value] : tested) {
        auto known = expected.find(std::string(key.view()));
        ASSERT_NE(known, expected.end()) << key;
        ASSERT_EQ(number_in(value), known->second) << key;
        ++seen;
      }
      ASSERT_EQ(seen, expected.size());
    };
    std::uint64_t range = 100;
    for (int i = 0; i < rt_test::scaled(20'000); ++i) {
      collect.step();
      if (i % 4000 == 0) range = range == 100 ? 3000 : 100;
      std::string key = "key " + std::to_string(random() % range);
      switch (random() % 8) {
        case 0:
        case 1:
        case 2:
          tested[key] = rt::make<boxed>(next);
          expected[key] = next++;
          break;
        case 3:
          tested.try_emplace(key, rt::make<boxed>(next));
          expected.try_emplace(key, next++);
          break;
        case 4:
        case 5:
          ASSERT_EQ(tested.erase(key), expected.erase(key));
          break;
        case 6: {
          auto known = expected.find(key);
          auto found = tested.find(std::string_view(key));
          ASSERT_EQ(found != tested.end(), known != expected.end());
          if (known != expected.end()) {
            ASSERT_EQ(number_in(found->value), known->second);
          }
          break;
        }
        default:
          if (random() % 500 == 0) {
            rt::map<rt::string, rt::ref<boxed>> copy(tested);
            tested = std::move(copy);
          }
          break;
      }
      if (i % 1000 == 0) compare();
    }
    compare();
    std::size_t even = 0;
    std::size_t erased = erase_if(tested, [](const auto& one) { return one.value->value % 2 == 0; });
    for (auto one = expected.begin(); one != expected.end();) {
      bool is_even = one->second % 2 == 0;
      even += is_even ? 1 : 0;
      one = is_even ? expected.erase(one) : std::next(one);
    }
    EXPECT_EQ(erased, even);
    compare();
  });
}

// Each key is looked up in a table where all hashes are equal: groups are searched one after the other.
struct same_hash {
  std::uint64_t operator()(int, std::uint64_t) const noexcept { return 42; }
};

TEST_P(map, collisions_cost_time_only) {
  run([] {
    rt::map<int, int, same_hash> all;
    for (int i = 0; i < 300; ++i) all[i] = i;
    for (int i = 0; i < 300; i += 2) EXPECT_EQ(all.erase(i), 1U);
    for (int i = 0; i < 300; ++i) EXPECT_EQ(all.contains(i), i % 2 == 1) << i;
    for (int i = 0; i < 300; i += 2) all[i] = -i;
    for (int i = 0; i < 300; ++i) EXPECT_EQ(all.at(i), i % 2 == 1 ? i : -i);
  });
}

TEST_P(map, does_not_grow_while_entries_come_and_go) {
  run([] {
    rt::map<std::uint64_t, std::uint64_t> all;
    for (std::uint64_t i = 0; i < 100; ++i) all[i] = i;
    std::size_t capacity = all.capacity();
    for (std::uint64_t i = 100; i < 20'000; ++i) {
      all.erase(i - 100);
      all[i] = i;
    }
    EXPECT_LE(all.capacity(), 2 * capacity + 1);
    EXPECT_EQ(all.size(), 100U);
  });
}

TEST_P(map, entries_are_erased_while_it_is_iterated) {
  run([] {
    rt::map<int, int> all;
    for (int i = 0; i < 1000; ++i) all[i] = i;
    std::set<int> seen;
    for (auto one = all.begin(); one != all.end();) {
      EXPECT_TRUE(seen.insert(one->key).second);
      int partner = one->key ^ 1;
      bool erase_this = one->key % 3 == 0;
      if (!seen.contains(partner)) {
        auto other = all.find(partner);
        if (other != all.end() && std::next(one) != other) all.erase(partner);
      }
      one = erase_this ? all.erase(one) : std::next(one);
    }
    for (const auto& one : all) EXPECT_TRUE(seen.contains(one.key));
    // Growing meanwhile: the iteration goes on over what was there.
    rt::map<int, int> growing{{1, 1}, {2, 2}, {3, 3}};
    int count = 0;
    for (const auto& one : growing) {
      ++count;
      for (int i = 0; one.key < 4 && i < 100; ++i) growing[one.key * 1000 + i] = i;
    }
    EXPECT_GE(count, 3);
    EXPECT_EQ(growing.size(), 303U);
    auto old = growing.begin();
    int key = old->key;
    growing.reserve(5000);
    growing.erase(old);
    EXPECT_FALSE(growing.contains(key));
    EXPECT_EQ(growing.size(), 302U);
  });
}

// Fails at the copy that is due.
struct fragile_value {
  static inline int until_failure = -1;
  int value = 0;
  explicit fragile_value(int number) : value(number) {}
  fragile_value(const fragile_value& other) : value(other.value) {
    if (until_failure > 0 && --until_failure == 0) throw std::runtime_error("no copy");
  }
  fragile_value& operator=(const fragile_value&) = default;
};

TEST_P(map, nothing_has_changed_when_a_copy_fails) {
  run([] {
    for (int failing = 1; failing <= 40; ++failing) {
      rt::map<int, fragile_value> all;
      fragile_value::until_failure = -1;
      for (int i = 0; i < 28; ++i) all.try_emplace(i, i);
      fragile_value::until_failure = failing;
      try {
        all.try_emplace(28, fragile_value(28));
        EXPECT_GT(failing, 29);
      } catch (const std::runtime_error&) {
        EXPECT_EQ(all.size(), 28U);
        EXPECT_FALSE(all.contains(28));
      }
      fragile_value::until_failure = -1;
      for (int i = 0; i < 28; ++i) EXPECT_EQ(all.at(i).value, i);
    }
  });
}

TEST_P(map, what_was_erased_is_not_kept) {
  run([] {
    rt_test::tally count;
    rt::map<int, rt::ref<rt_test::node>> all;
    rt_test::out_of_sight([&] {
      for (int i = 0; i < 100; ++i) all[i] = rt::make<rt_test::node>(count, i);
      for (int i = 0; i < 50; ++i) all.erase(i);
    });
    EXPECT_TRUE(rt_test::are_destroyed(count, 48)) << count.destroyed;
    EXPECT_LE(count.destroyed, 50);
    for (const auto& one : all) EXPECT_TRUE(one.value->is_alive());
  });
}

TEST_P(map, each_one_has_another_order) {
  run([] {
    auto order = [] {
      rt::map<int, int> all;
      for (int i = 0; i < 64; ++i) all[i] = i;
      std::string text;
      for (const auto& one : all) text += static_cast<char>(one.key + 32);
      return text;
    };
    EXPECT_NE(order(), order());
  });
}

}  // namespace
