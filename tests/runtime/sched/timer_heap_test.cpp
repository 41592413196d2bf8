#include "runtime/sched/timer_heap.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

namespace {

using rt::detail::timer_heap;
using rt::detail::timer_node;

std::vector<std::uint64_t>* fired_into = nullptr;
void note(void*, std::uint64_t value) noexcept { fired_into->push_back(value); }

struct heap_test : testing::Test {
  heap_test() { fired_into = &fired; }
  ~heap_test() override { fired_into = nullptr; }
  timer_heap heap;
  std::vector<std::uint64_t> fired;
};

TEST_F(heap_test, fires_in_order_of_time_and_only_what_is_due) {
  std::vector<timer_node> nodes(500);
  std::mt19937 random(7);
  for (timer_node& one : nodes) {
    one.when = static_cast<std::int64_t>(random() % 1000);
    one.fire = note;
    one.second = static_cast<std::uint64_t>(one.when);
    heap.add(one);
  }
  heap.run(499);
  EXPECT_TRUE(std::is_sorted(fired.begin(), fired.end()));
  EXPECT_TRUE(fired.empty() || fired.back() <= 499);
  auto due = static_cast<std::size_t>(
      std::count_if(nodes.begin(), nodes.end(), [](const timer_node& one) { return one.when <= 499; }));
  EXPECT_EQ(fired.size(), due);
  EXPECT_EQ(heap.size(), 500 - due);
  heap.run(1000);
  EXPECT_EQ(fired.size(), 500U);
  EXPECT_EQ(heap.next(), INT64_MAX);
  EXPECT_EQ(heap.fired(), 500U);
}

TEST_F(heap_test, removal_from_anywhere_keeps_the_order) {
  std::mt19937 random(11);
  std::vector<timer_node> nodes(300);
  for (timer_node& one : nodes) {
    one.when = static_cast<std::int64_t>(random() % 100);
    one.fire = note;
    one.second = static_cast<std::uint64_t>(one.when);
    heap.add(one);
  }
  std::size_t removed = 0;
  for (timer_node& one : nodes) {
    if (random() % 2 == 0) {
      EXPECT_TRUE(timer_heap::remove(one));
      EXPECT_FALSE(timer_heap::remove(one)) << "it is armed no more";
      ++removed;
    }
  }
  heap.run(100);
  EXPECT_TRUE(std::is_sorted(fired.begin(), fired.end()));
  EXPECT_EQ(fired.size() + removed, nodes.size());
}

TEST_F(heap_test, moving_keeps_every_timer) {
  timer_heap other;
  std::vector<timer_node> nodes(50);
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    nodes[i].when = static_cast<std::int64_t>(i * 7 % 50);
    nodes[i].fire = note;
    nodes[i].second = static_cast<std::uint64_t>(nodes[i].when);
    (i % 2 == 0 ? heap : other).add(nodes[i]);
  }
  heap.move_to(other);
  EXPECT_EQ(heap.size(), 0U);
  EXPECT_EQ(other.size(), 50U);
  EXPECT_TRUE(timer_heap::remove(nodes[0]));
  other.run(50);
  EXPECT_EQ(fired.size(), 49U);
  EXPECT_TRUE(std::is_sorted(fired.begin(), fired.end()));
}

// More than one piece of memory, against a model; the seed is in the failure.
TEST_F(heap_test, many_additions_and_removals_in_any_order) {
  for (unsigned seed = 1; seed <= 5; ++seed) {
    SCOPED_TRACE("seed = " + std::to_string(seed));
    fired.clear();
    std::mt19937 random(seed);
    std::vector<timer_node> nodes(5000);
    std::vector<bool> armed(nodes.size(), false);
    std::size_t count = 0;
    for (int step = 0; step < 30'000; ++step) {
      // Phases of growing and of shrinking, so that pieces come and go.
      bool grow = step / 5000 % 2 == 0;
      std::size_t i = random() % nodes.size();
      if (grow && !armed[i]) {
        nodes[i].when = static_cast<std::int64_t>(random() % 1'000'000);
        nodes[i].fire = note;
        nodes[i].second = static_cast<std::uint64_t>(nodes[i].when);
        heap.add(nodes[i]);
        armed[i] = true;
        ++count;
      } else if (!grow) {
        ASSERT_EQ(timer_heap::remove(nodes[i]), armed[i]);
        if (armed[i]) --count;
        armed[i] = false;
      }
      ASSERT_EQ(heap.size(), count);
    }
    std::vector<std::uint64_t> expected;
    for (std::size_t i = 0; i < nodes.size(); ++i) {
      if (armed[i]) expected.push_back(nodes[i].second);
    }
    std::sort(expected.begin(), expected.end());
    if (!expected.empty()) {
      EXPECT_EQ(heap.next(), static_cast<std::int64_t>(expected.front()));
    }
    heap.run(1'000'000);
    EXPECT_EQ(fired, expected);
  }
}

TEST(heap_end, tells_every_timer_that_is_left) {
  static std::vector<timer_node*> told;
  told.clear();
  std::vector<timer_node> nodes(2000);
  {
    timer_heap heap;
    for (timer_node& one : nodes) {
      one.when = INT64_MAX - 1;
      one.first = &one;
      one.fire = [](void* node, std::uint64_t second) noexcept {
        if (second == timer_node::heap_ends) told.push_back(static_cast<timer_node*>(node));
      };
      heap.add(one);
    }
    EXPECT_TRUE(timer_heap::remove(nodes[7]));
  }
  EXPECT_EQ(told.size(), nodes.size() - 1);
  EXPECT_FALSE(timer_heap::remove(nodes[0])) << "it is in no heap, and the heap is not touched";
}

}  // namespace
