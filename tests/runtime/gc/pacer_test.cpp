// The pacer in a simulated program: for each cycle it is said how fast the program allocates, how fast is marked, how
// much of the heap stays, and how much of it and of the stacks must be looked into. The scenarios, and what must come
// out of them, are those of Go's test of its pacer.
#include "runtime/gc/pacer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <random>
#include <string>
#include <vector>

namespace {

using rt::detail::background_share;
using rt::detail::cpu_limiter;
using rt::detail::pacer;
using rt::detail::percent_off;

constexpr std::uint64_t kib = 1024;
constexpr std::uint64_t mib = 1024 * kib;
constexpr std::uint64_t no_limit = UINT64_MAX;

/// A quantity that changes from cycle to cycle.
using course = std::function<double(int cycle)>;

course constant(double value) {
  return [value](int) { return value; };
}
/// From 0 to `height` within `length` cycles, and then that.
course ramp(double height, int length) {
  return [height, length](int cycle) { return cycle >= length ? height : height * (cycle + 1) / length; };
}
course after(int delay, course later) {
  return [delay, later](int cycle) { return cycle < delay ? 0 : later(cycle - delay); };
}
/// Only in the one cycle.
course once(double height, int when) {
  return [height, when](int cycle) { return cycle == when ? height : 0; };
}
course wave(double height, int period) {
  return [height, period](int cycle) { return height * std::sin(6.283185307 * cycle / period); };
}
/// Between plus and minus `width`, the same at each run.
course random(double width, unsigned seed) {
  return [width, seed](int cycle) {
    std::mt19937 source(seed * 1000 + static_cast<unsigned>(cycle));
    return std::uniform_real_distribution<double>(-width, width)(source);
  };
}
course operator+(course left, course right) {
  return [left, right](int cycle) { return left(cycle) + right(cycle); };
}

struct scenario {
  int percent = 100;
  std::uint64_t limit = no_limit;
  std::uint64_t globals = 32 * kib;
  course allocation = constant(33);            // KiB for each ms of a CPU
  course marking = constant(1024);             // the same
  course growth = constant(2) + ramp(-1, 12);  // live bytes, times those of the cycle before
  course scannable = constant(1);              // the part of the heap that is looked into
  course stacks = constant(8192);              // bytes
  int length = 50;
};

struct outcome {
  double live = 0;  // found by the cycle
  double trigger = 0;
  double goal = 0;
  double peak = 0;
  double utilization = 0;
  double goal_ratio() const { return peak / goal; }
  double trigger_part(double live_before) const { return (trigger - live_before) / (goal - live_before); }
};

constexpr int cpus = 8;
constexpr double period = 0.5;  // ms between two looks at the assist ratio

std::vector<outcome> simulate(const scenario& what) {
  pacer pace;
  pace.set_percent(what.percent);
  pace.set_memory_limit(what.limit);
  auto use_memory = [&](double live) {
    pace.set_memory_use({static_cast<std::uint64_t>(live), static_cast<std::uint64_t>(live), 0});
  };
  std::vector<outcome> outcomes;
  double live_next = 4.0 * mib;
  double black = 0;  // allocated while marking: live once, gone by the next cycle
  for (int i = 0; i < what.length; ++i) {
    if (i != 0) live_next = std::max((static_cast<double>(pace.marked()) - black) * what.growth(i), 64.0 * kib);
    double scannable = what.scannable(i);
    outcome now;
    use_memory(static_cast<double>(pace.marked()));
    now.trigger = static_cast<double>(pace.trigger());
    double live = std::max(now.trigger, static_cast<double>(pace.marked()));
    use_memory(live);
    pace.begin_cycle(static_cast<std::uint64_t>(live), static_cast<std::uint64_t>(live * scannable),
                     static_cast<std::uint64_t>(what.stacks(i)), what.globals);
    double globals = static_cast<double>(what.globals);
    double stacks = what.stacks(i);
    double heap = live_next * scannable;
    double duration = 0;
    double assists = 0;
    black = 0;
    while (globals + stacks + heap > 0) {
      double allocation = what.allocation(i) * kib;
      double marking = what.marking(i) * kib;
      double used = pace.assist_ratio() * allocation / (pace.assist_ratio() * allocation + marking);
      used = std::max(used, background_share);
      double work = marking * period * cpus * used;
      double part = std::min(1.0, (globals + stacks + heap) / work);
      work *= part;
      pacer::progress done;
      double of_globals = std::min(globals, work);
      double of_stacks = std::min(stacks, work - of_globals);
      double of_heap = std::min(heap, work - of_globals - of_stacks);
      globals -= of_globals;
      stacks -= of_stacks;
      heap -= of_heap;
      if (globals + stacks + heap < 1) globals = stacks = heap = 0;
      double allocated = allocation * period * cpus * (1 - used) * part;
      done.allocated = static_cast<std::uint64_t>(allocated);
      done.allocated_scannable = static_cast<std::uint64_t>(allocated * scannable);
      done.heap_scanned = static_cast<std::uint64_t>(of_heap);
      done.stack_scanned = static_cast<std::uint64_t>(of_stacks);
      done.globals_scanned = static_cast<std::uint64_t>(of_globals);
      black += allocated;
      duration += period * part;
      assists += period * part * (used - background_share) * cpus;
      use_memory(static_cast<double>(pace.live()) + allocated);
      pace.advance(done);
    }
    now.peak = static_cast<double>(pace.live());
    now.goal = static_cast<double>(pace.goal());
    now.utilization = assists / (duration * cpus) + background_share;
    now.live = live_next + black;
    pace.end_cycle(static_cast<std::uint64_t>(now.live), static_cast<std::int64_t>(assists * 1e6), 0,
                   static_cast<std::int64_t>(duration * 1e6), cpus);
    outcomes.push_back(now);
  }
  return outcomes;
}

/// What must hold in each of the cycles [first, end).
struct expected {
  double least_utilization = background_share - 0.005;
  double most_utilization = background_share + 0.005;
  double least_goal_ratio = 0.95;
  double most_goal_ratio = 1.05;
};

void expect(const std::vector<outcome>& outcomes, int first, int end, const expected& what = {}) {
  for (int i = first; i < end; ++i) {
    const outcome& one = outcomes[static_cast<std::size_t>(i)];
    SCOPED_TRACE("cycle " + std::to_string(i));
    EXPECT_GE(one.utilization, what.least_utilization);
    EXPECT_LE(one.utilization, what.most_utilization);
    EXPECT_GE(one.goal_ratio(), what.least_goal_ratio);
    EXPECT_LE(one.goal_ratio(), what.most_goal_ratio);
  }
}

/// Of a program that allocates faster than a quarter of the CPUs can mark.
constexpr expected heavy{.most_utilization = 0.5};

TEST(pacer, steady) { expect(simulate({}), 25, 50); }

TEST(pacer, steady_with_big_stacks) {
  expect(simulate({.allocation = constant(132), .stacks = constant(2048) + ramp(128.0 * mib, 8)}), 25, 50);
}

TEST(pacer, steady_with_big_globals) { expect(simulate({.globals = 128 * mib, .allocation = constant(132)}), 25, 50); }

TEST(pacer, a_step_of_allocation) {
  auto outcomes = simulate({.allocation = constant(33) + after(50, constant(66)), .length = 100});
  expect(outcomes, 25, 50);
  expect(outcomes, 75, 100);
}

TEST(pacer, a_heavy_step_of_allocation) {
  auto outcomes = simulate({.allocation = constant(33) + after(50, constant(330)), .length = 100});
  expect(outcomes, 25, 50);
  // While a byte is looked into, one is allocated: that needs a runway of half of the heap, and the trigger may not lie
  // so low. Those that allocate make up for it, and the goal is kept.
  expect(outcomes, 75, 100, heavy);
}

TEST(pacer, a_step_of_what_is_looked_into) {
  auto outcomes =
      simulate({.allocation = constant(128), .scannable = constant(0.2) + after(50, constant(0.5)), .length = 100});
  expect(outcomes, 25, 50);
  expect(outcomes, 75, 100);
}

TEST(pacer, high_percent) {
  auto outcomes = simulate({.percent = 1500,
                            .allocation = constant(165) + random(7, 53),
                            .growth = constant(2) + ramp(-1, 12) + random(0.01, 1) + once(14, 25)});
  expected relaxed{.most_utilization = background_share + 0.03, .least_goal_ratio = 0.9};
  expect(outcomes, 13, 25, relaxed);
  expect(outcomes, 27, 50, relaxed);
  // The heap has grown to fifteen times its size: it may pass its goal, but not by more than another growth.
  relaxed.most_goal_ratio = 15;
  expect(outcomes, 25, 27, relaxed);
}

TEST(pacer, oscillating_allocation) {
  expect(simulate({.allocation = constant(67) + wave(13, 8)}), 13, 50, {.most_utilization = 0.3});
}

TEST(pacer, jitter_of_allocation) {
  expect(
      simulate({.allocation = constant(132) + random(13, 15), .growth = constant(2) + ramp(-1, 12) + random(0.01, 14)}),
      13, 50, {.most_utilization = 0.275});
}

TEST(pacer, heavy_jitter_of_allocation) {
  expect(
      simulate({.allocation = constant(330) + random(33, 3), .growth = constant(2) + ramp(-1, 12) + random(0.01, 152)}),
      14, 50, heavy);
}

// A program that hardly allocates: the cycle begins as late as it may.
void expect_late(const std::vector<outcome>& outcomes, int first, double least_part) {
  for (std::size_t i = static_cast<std::size_t>(first); i < outcomes.size(); ++i) {
    SCOPED_TRACE("cycle " + std::to_string(i));
    EXPECT_GE(outcomes[i].trigger_part(outcomes[i - 1].live), least_part);
    EXPECT_LE(outcomes[i].goal_ratio(), 1.0);
    EXPECT_NEAR(outcomes[i].utilization, background_share, 0.005);
  }
}

TEST(pacer, small_heap_and_slow_allocation) {
  auto outcomes = simulate({.allocation = constant(1),
                            .marking = constant(2048),
                            .growth = constant(2) + ramp(-1, 3),
                            .scannable = constant(0.01)});
  expect_late(outcomes, 5, 0.9);
}

TEST(pacer, medium_heap_and_slow_allocation) {
  auto outcomes = simulate({.allocation = constant(1),
                            .marking = constant(2048),
                            .growth = constant(2) + ramp(-1, 8),
                            .scannable = constant(0.01)});
  expect_late(outcomes, 10, 0.94);
}

TEST(pacer, large_heap_and_slow_allocation) {
  auto outcomes = simulate({.allocation = constant(1),
                            .marking = constant(2048),
                            .growth = constant(4) + ramp(-3, 12),
                            .scannable = constant(0.01)});
  expect_late(outcomes, 13, 0.95);
  // Not a part of the heap, but what is enough.
  for (std::size_t i = 14; i < outcomes.size(); ++i) {
    EXPECT_LE(outcomes[i].goal - outcomes[i].trigger, 1.01 * rt::detail::least_heap);
  }
}

TEST(pacer, a_memory_limit_that_is_far) {
  auto outcomes = simulate({.limit = 512 * mib, .growth = constant(2) + ramp(-1, 8)});
  for (const outcome& one : outcomes) EXPECT_LE(one.peak, 512.0 * mib);
  expect(outcomes, 25, 50);
}

TEST(pacer, a_memory_limit_that_is_far_without_percent) {
  auto outcomes = simulate({.percent = percent_off, .limit = 512 * mib, .growth = constant(2) + ramp(-1, 8)});
  for (std::size_t i = 1; i < outcomes.size(); ++i) {
    EXPECT_LE(outcomes[i].peak, 512.0 * mib);
    EXPECT_GE(outcomes[i].goal, 512.0 * mib * 0.96) << "the memory is there to be used";
  }
  expect(outcomes, 25, 50);
}

// More is live than the limit: the goal is as low as can be, and that is what is live.
void expect_goal_is_live(const std::vector<outcome>& outcomes) {
  for (std::size_t i = 13; i < outcomes.size(); ++i) {
    SCOPED_TRACE("cycle " + std::to_string(i));
    EXPECT_GT(outcomes[i].live, 512.0 * mib);
    EXPECT_LE(outcomes[i].goal, outcomes[i - 1].live * 1.001);
    EXPECT_LE(outcomes[i].utilization, 1.0);
  }
}

TEST(pacer, an_exceeded_memory_limit) {
  expect_goal_is_live(simulate({.limit = 512 * mib, .growth = constant(3.5) + ramp(-2.5, 12)}));
}

TEST(pacer, an_exceeded_memory_limit_without_percent) {
  expect_goal_is_live(simulate({.percent = percent_off, .limit = 512 * mib, .growth = constant(3.5) + ramp(-2.5, 12)}));
}

// What is live comes near the limit, where the percentage alone would pass it.
TEST(pacer, a_memory_limit_that_is_maintained) {
  auto outcomes = simulate({.limit = 512 * mib, .growth = constant(2.4) + ramp(-1.4, 12)});
  for (std::size_t i = 14; i < outcomes.size(); ++i) {
    SCOPED_TRACE("cycle " + std::to_string(i));
    EXPECT_LE(outcomes[i].peak, 512.0 * mib);
    EXPECT_LE(outcomes[i].goal, 512.0 * mib);
  }
}

TEST(pacer, a_memory_limit_that_is_maintained_without_percent) {
  auto outcomes = simulate({.percent = percent_off, .limit = 512 * mib, .growth = constant(2.4) + ramp(-1.4, 12)});
  for (std::size_t i = 14; i < outcomes.size(); ++i) {
    SCOPED_TRACE("cycle " + std::to_string(i));
    EXPECT_LE(outcomes[i].peak, 512.0 * mib);
    EXPECT_GE(outcomes[i].goal, 512.0 * mib * 0.96);
  }
}

// --- settings ------------------------------------------------------------------------------------------------------

TEST(pacer, settings_count_at_once) {
  pacer pace;
  EXPECT_EQ(pace.goal(), rt::detail::least_heap);
  pace.set_percent(200);
  EXPECT_EQ(pace.goal(), 2 * rt::detail::least_heap);
  pace.set_percent(percent_off);
  EXPECT_EQ(pace.goal(), UINT64_MAX);
  EXPECT_EQ(pace.trigger(), pace.goal() - rt::detail::least_heap) << "never, in practice";
  pace.set_memory_limit(100 * mib);
  EXPECT_LE(pace.goal(), 97 * mib);
  EXPECT_LE(pace.trigger(), pace.goal());
  pace.set_percent(0);
  EXPECT_LE(pace.goal(), 2 * mib) << "as often as possible";
}

// --- the limiter ---------------------------------------------------------------------------------------------------

constexpr std::int64_t second = 1'000'000'000;

TEST(cpu_limiter, half_of_the_time_is_never_limited) {
  cpu_limiter bucket;
  bucket.reset(0, 4);
  for (std::int64_t now = 1; now < 1000; ++now) {
    bucket.update(now * second / 100, 2 * second / 100);
    ASSERT_FALSE(bucket.is_limiting());
  }
}

TEST(cpu_limiter, more_is_when_the_bucket_is_full_and_drains_with_the_program) {
  cpu_limiter bucket;
  bucket.reset(0, 4);
  std::int64_t now = 0;
  for (int i = 0; i < 10; ++i) bucket.update(now += second / 10, 4 * second / 10);
  EXPECT_TRUE(bucket.is_limiting()) << "a second of all Ps";
  EXPECT_EQ(bucket.fill(), bucket.capacity());
  EXPECT_EQ(bucket.overflow(), 0);
  bucket.update(now += second, 4 * second);
  EXPECT_EQ(bucket.overflow(), 4 * second);
  bucket.update(now += second / 10, 0);
  EXPECT_FALSE(bucket.is_limiting());
  bucket.update(now += 10 * second, 0);
  EXPECT_EQ(bucket.fill(), 0) << "never negative";
}

TEST(cpu_limiter, follows_the_number_of_processors) {
  cpu_limiter bucket;
  bucket.reset(0, 4);
  bucket.update(second, 4 * second);
  bucket.set_procs(second, 2);
  EXPECT_EQ(bucket.fill(), bucket.capacity());
  EXPECT_EQ(bucket.capacity(), 2 * second);
  bucket.set_procs(second, 8);
  EXPECT_EQ(bucket.fill(), 2 * second);
  bucket.update(2 * second, 0);
  EXPECT_EQ(bucket.fill(), 0);
}

}  // namespace
