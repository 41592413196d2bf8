#include "runtime/sched/run_queue.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <random>
#include <thread>
#include <vector>

namespace {

struct item {
  std::atomic<int> taken{0};
};
using queue = rt::detail::basic_run_queue<item, 8>;

TEST(run_queue, first_in_first_out_and_bounded) {
  queue q;
  item items[9];
  for (int i = 0; i < 8; ++i) EXPECT_TRUE(q.push(&items[i]));
  EXPECT_FALSE(q.push(&items[8]));
  for (int i = 0; i < 8; ++i) EXPECT_EQ(q.pop(i % 2 == 0), &items[i]);
  EXPECT_EQ(q.pop(false), nullptr);
}

TEST(run_queue, stealing_takes_the_older_half_rounded_up) {
  queue victim;
  queue thief;
  item items[5];
  for (item& one : items) victim.push(&one);
  EXPECT_EQ(victim.steal_into(thief), &items[2]);
  EXPECT_EQ(thief.size(), 2U);
  EXPECT_EQ(thief.pop(false), &items[0]);
  EXPECT_EQ(thief.pop(false), &items[1]);
  EXPECT_EQ(victim.size(), 2U);
}

TEST(run_queue, half_of_a_full_ring_moves_out_in_order) {
  queue q;
  item items[8];
  for (item& one : items) q.push(&one);
  std::array<item*, 4> half;
  ASSERT_EQ(q.take_half(half), 4U);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(half[static_cast<std::size_t>(i)], &items[i]);
  EXPECT_EQ(q.pop(true), &items[4]);
}

// One owner, three thieves: each item is taken exactly once, whatever the interleaving.
TEST(run_queue, every_item_is_taken_once_under_stealing) {
  constexpr int count = 40000;
  const char* text = std::getenv("RT_TEST_SEED");
  unsigned seed = text != nullptr ? static_cast<unsigned>(std::strtoul(text, nullptr, 10)) : std::random_device{}();
  RecordProperty("seed", std::to_string(seed));
  SCOPED_TRACE("RT_TEST_SEED=" + std::to_string(seed));
  queue shared;
  std::vector<item> items(count);
  std::atomic<int> taken{0};
  auto take = [&](item* one) {
    EXPECT_EQ(one->taken.fetch_add(1), 0);
    ++taken;
  };
  std::vector<std::thread> thieves;
  for (int t = 0; t < 3; ++t) {
    thieves.emplace_back([&, t] {
      queue mine;
      std::minstd_rand random(seed + static_cast<unsigned>(t));
      while (taken.load() < count) {
        if (item* one = shared.steal_into(mine); one != nullptr) take(one);
        while (item* one = mine.pop(false)) take(one);
        if (random() % 8 == 0) std::this_thread::yield();
      }
    });
  }
  std::minstd_rand random(seed);
  std::array<item*, 4> half;
  for (item& one : items) {
    while (!shared.push(&one)) {
      for (std::uint32_t i = 0, n = shared.take_half(half); i < n; ++i) take(half[i]);
    }
    if (random() % 3 == 0) {
      if (item* mine = shared.pop(false); mine != nullptr) take(mine);
    }
  }
  while (item* one = shared.pop(false)) take(one);
  for (std::thread& one : thieves) one.join();
  EXPECT_EQ(taken.load(), count);
}

}  // namespace
