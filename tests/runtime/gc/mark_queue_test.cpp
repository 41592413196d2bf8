// Queues of marked objects and the pool that they share: whatever is pushed comes out once, somewhere.
#include "runtime/gc/mark_queue.h"

#include <gtest/gtest.h>

#include <array>
#include <set>

#include "tests/runtime/seeds.h"

namespace {

using rt::detail::mark_entry;
using rt::detail::mark_pool;
using rt::detail::mark_queue;

mark_pool& pool() {
  static mark_pool one;  // its memory is kept
  return one;
}

// Phases of growing and shrinking that are longer than a buffer, so that its ends are met with both buffers in all
// states.
TEST(mark_queue, random_calls_agree_with_a_set) {
  std::mt19937 random = rt_test::seeds().source(0);
  std::array<mark_queue, 3> queues{mark_queue(pool()), mark_queue(pool()), mark_queue(pool())};
  std::set<std::uint64_t> inside;
  std::uint64_t next = 0;
  auto take_out = [&](const mark_entry& entry) {
    EXPECT_EQ(entry.slots, ~entry.where);
    EXPECT_EQ(inside.erase(entry.where), 1U) << "never pushed, or popped before: " << entry.where;
  };
  for (int phase = 0; phase < 60; ++phase) {
    const unsigned pushes_of_16 = random() % 17;
    for (unsigned step = random() % 900; step > 0; --step) {
      mark_queue& one = queues[random() % queues.size()];
      mark_entry entry{};
      if (random() % 64 == 0) {
        one.share();
      } else if (random() % 200 == 0) {
        one.flush();
        EXPECT_TRUE(one.empty());
      } else if (random() % 16 < pushes_of_16) {
        one.push({next, ~next});
        inside.insert(next++);
      } else if (random() % 2 == 0) {
        const bool was_empty = one.empty();
        const bool taken = one.pop_own(entry);
        EXPECT_EQ(taken, !was_empty);
        if (taken) take_out(entry);
      } else if (one.pop(entry)) {
        take_out(entry);
      } else {
        EXPECT_TRUE(one.empty() && !pool().has_work());
      }
    }
  }
  for (mark_queue& one : queues) one.flush();
  mark_entry entry{};
  while (queues[0].pop(entry)) take_out(entry);
  EXPECT_TRUE(inside.empty()) << inside.size() << " were lost";
  EXPECT_FALSE(pool().has_work());
  queues[0].flush();
}

}  // namespace
