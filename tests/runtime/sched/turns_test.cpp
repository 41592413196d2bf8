// Those of the global queue and those that a P has already share it by time and by decisions.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>

#include "rt/go.h"
#include "rt/sync.h"
#include "runtime/sched/turns.h"
#include "tests/runtime/in_runtime.h"
#include "tests/runtime/sched/interruptions.h"

namespace {

constexpr std::uint64_t slice = 1'000'000;

TEST(global_turns, are_followed_by_as_much_time_for_those_that_the_processor_has) {
  rt::detail::global_turn turn;
  turn.end(500, slice);
  EXPECT_TRUE(turn.is_due(500));
  turn.begin(1'000);
  // A loop took 10 000 cycles. The others get as many from then on.
  turn.end(11'000, slice);
  EXPECT_FALSE(turn.is_due(11'000));
  EXPECT_FALSE(turn.is_due(20'999));
  turn.end(20'999, slice);  // a look in between changes nothing
  EXPECT_TRUE(turn.is_due(21'000));
  // This time it was a short one.
  turn.begin(21'000);
  turn.end(21'010, slice);
  EXPECT_FALSE(turn.is_due(21'019));
  EXPECT_TRUE(turn.is_due(21'020));
  // Nobody gets more than a slice, however late the look is.
  turn.begin(30'000);
  turn.end(30'000 + 7 * slice, slice);
  EXPECT_TRUE(turn.is_due(30'000 + 8 * slice));
}

// With one cycle a nanosecond.
class chain : public testing::Test {
 protected:
  static constexpr std::uint64_t ms = 1'000'000;
  rt::detail::chain_turn turn;
  std::uint64_t now = 1'000'000'000;

  // A turn of `parts` looks, `length` apart, begun by one that came from the ring; returns when it ended.
  std::uint64_t take_turn(std::uint64_t since, int parts, std::uint64_t length) {
    turn.begin(now, since, 1.0);
    for (int i = 1; i <= parts; ++i) {
      now += length;
      EXPECT_FALSE(turn.look(now, static_cast<std::uint8_t>(i), 10 * ms, 1.0));
    }
    EXPECT_FALSE(turn.goes_on(now, 1.0));
    return now;
  }
  // How long one with short slices goes on if it wants to.
  std::uint64_t short_slices(std::uint64_t since) {
    turn.begin(now, since, 1.0);
    std::uint64_t began = now;
    do now += 4'000;
    while (turn.goes_on(now, 1.0));
    return now - began;
  }
};

TEST_F(chain, gets_the_decisions_of_a_turn_beside_others_that_are_short) {
  std::uint64_t mine = now;
  for (int i = 0; i < 100; ++i) take_turn(mine, 1, 4'000);
  EXPECT_EQ(short_slices(mine), 4'000U);
}

TEST_F(chain, goes_on_for_half_of_what_another_took) {
  std::uint64_t mine = now;
  take_turn(mine, 9, 1 * ms);  // 8 ms without its longest part
  std::uint64_t took = short_slices(mine);
  EXPECT_GE(took, 8 * ms / 4);
  EXPECT_LE(took, 8 * ms / 2 + 4'000);
}

TEST_F(chain, does_not_measure_itself_by_its_own_turn) {
  std::uint64_t mine = take_turn(0, 9, 1 * ms);
  EXPECT_EQ(short_slices(mine), 4'000U);
}

TEST_F(chain, is_not_taken_for_long_when_it_was_interrupted_once) {
  std::uint64_t mine = now;
  turn.begin(now, 0, 1.0);
  turn.look(now += 2'000, 10, 10 * ms, 1.0);
  turn.look(now += 4 * ms, 20, 10 * ms, 1.0);
  EXPECT_FALSE(turn.goes_on(now += 2'000, 1.0));
  EXPECT_EQ(short_slices(mine), 4'000U);
}

TEST_F(chain, has_short_turns_again_when_those_with_long_slices_are_gone) {
  std::uint64_t ends[2] = {now, now};
  take_turn(now, 9, 1 * ms);
  std::uint64_t before = 10 * ms;
  for (int round = 0; round < 8; ++round) {
    for (std::uint64_t& mine : ends) {
      std::uint64_t took = short_slices(mine);
      mine = now;
      EXPECT_LE(took, before);
      before = took > 4'000 ? took : 10 * ms;
    }
  }
  EXPECT_EQ(short_slices(ends[0]), 4'000U);
  EXPECT_EQ(short_slices(ends[1]), 4'000U);
}

TEST_F(chain, ends_when_it_has_had_a_slice) {
  turn.begin(now, 0, 1.0);
  EXPECT_FALSE(turn.look(now + 10 * ms, 20, 10 * ms, 1.0));
  EXPECT_TRUE(turn.look(now + 10 * ms + 1, 30, 10 * ms, 1.0));
  EXPECT_FALSE(turn.look(now + 11 * ms, 1, 10 * ms, 1.0)) << "the ring had its turn";
}

RT_ON_PROCS(queues);

TEST_P(queues, those_that_are_never_empty_let_the_global_one_shrink) {
  run([] {
  // More than the rings hold, so that most begin in the global queue; those that run do nothing but yield until the
  // last one has begun. Counted in decisions, not in time.
#if defined(__SANITIZE_THREAD__)
    // Each has a place in the clocks that the sanitizer compares at every decision: twice as many cost four times as
    // much.
    const std::uint64_t count = 640;
#else
    const auto count = static_cast<std::uint64_t>(rt_test::scaled(10'000) + 4096);
#endif
    long interruptions = rt_test::interruptions();
    std::atomic<std::uint64_t> begun{0};
    std::atomic<std::uint64_t> yields{0};
    rt::wait_group group;
    for (std::uint64_t i = 0; i < count; ++i) {
      group.go([&] {
        ++begun;
        std::uint64_t own = 0;
        for (; begun < count; ++own) rt::yield();
        yields += own;
      });
    }
    group.wait();
    EXPECT_EQ(begun, count);
    // Each 61st decision takes one. Every second look (20 us, at most 8000 decisions) is the global queue's, for twice
    // as many. A ring that is full takes one only, and gives half of its places back to the global queue (at the end,
    // behind those that have not begun): of two looks for each 128 that are taken, one finds it full and one as good
    // as. With more Ps than CPUs, some decide while the kernel lets the one wait whose turn it is: no number is a
    // bound.
    if (rt::max_procs() == 1) {
      EXPECT_LE(yields, count * (61 + 4 * 8000 / 128) + rt_test::decisions_of_interruptions(interruptions));
    }
  });
}

}  // namespace
