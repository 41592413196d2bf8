// The model of bench/simulation is honest: nothing is lost, nothing is done twice, and where arithmetic can tell what
// must come out (one core, two cores), it comes out. No figure of this machine is judged.
#include <gtest/gtest.h>

#include <string>

#include "bench/simulation/workloads.h"

namespace {

using namespace bench_simulation;

struct machine_and_work {
  const char* name;
  int cores;
};

void PrintTo(const machine_and_work& one, std::ostream* out) { *out << one.name << " on " << one.cores; }

class EveryWorkload : public testing::TestWithParam<machine_and_work> {
 protected:
  run_result run(std::uint64_t seed = 1, policy rules = {}) {
    return simulate(GetParam().name, GetParam().cores, costs{}, seed, rules);
  }
};

std::string name_of(const testing::TestParamInfo<machine_and_work>& one) {
  return std::string(one.param.name) + "_" + std::to_string(one.param.cores);
}

TEST_P(EveryWorkload, RunsEveryTaskOnceAndNobodyIsLeftLooking) {
  for (policy rules : {policy{}, policy{3, true}}) {
    const run_result found = run(7, rules);
    EXPECT_EQ(found.counted.created, found.counted.ended);
    EXPECT_EQ(found.counted.left_spinning, 0U);
    EXPECT_LE(found.utilisation, 1.0);
    EXPECT_GT(found.utilisation, 0.0);
    EXPECT_EQ(found.counted.cores_used, GetParam().cores);
  }
}

TEST_P(EveryWorkload, GivesTheSameForTheSameSeed) {
  const run_result first = run();
  const run_result second = run();
  EXPECT_EQ(first.counted.time, second.counted.time);
  EXPECT_EQ(first.counted.steals, second.counted.steals);
  EXPECT_EQ(first.counted.lock_wait, second.counted.lock_wait);
}

INSTANTIATE_TEST_SUITE_P(machines, EveryWorkload,
                         testing::Values(machine_and_work{"spawner", 1}, machine_and_work{"spawner", 2},
                                         machine_and_work{"spawner", 40}, machine_and_work{"tree", 1},
                                         machine_and_work{"tree", 2}, machine_and_work{"tree", 40},
                                         machine_and_work{"arrivals", 1}, machine_and_work{"arrivals", 2},
                                         machine_and_work{"arrivals", 40}),
                         name_of);

TEST(OneCore, TakesTheSumOfItsWorkAndOfItsCosts) {
  costs price;
  const run_result found = simulate("spawner", 1, price, 1);
  EXPECT_EQ(found.counted.created, 201U);
  EXPECT_DOUBLE_EQ(found.counted.worked, 200 * 10'000.0);
  EXPECT_EQ(found.counted.steals, 0U);
  EXPECT_EQ(found.counted.wakes, 0U);
  // What the scheduler adds: at least one decision and one end a task, at most ten times that.
  const double added = found.counted.time - found.counted.worked;
  EXPECT_GT(added, 200 * (price.decision + price.end));
  EXPECT_LT(added, 2'000 * (price.decision + price.end + price.spawn));
  // Twice the price of a decision costs exactly that much more.
  price.decision *= 2;
  const run_result dearer = simulate("spawner", 1, price, 1);
  EXPECT_GE(dearer.counted.time, found.counted.time + 200 * costs{}.decision);
}

TEST(TwoCores, AreNearlyTwiceAsFastWhereTheWorkIsPlenty) {
  for (const char* name : {"spawner", "tree"}) {
    // Both workloads have as much work for each core, so that two cores need as long as one, and a little more.
    const run_result one = simulate(name, 1, costs{}, 1);
    const run_result two = simulate(name, 2, costs{}, 1);
    EXPECT_GT(two.counted.time, 0.98 * one.counted.time) << name;
    EXPECT_LT(two.counted.time, 1.25 * one.counted.time) << name;
    EXPECT_GE(two.counted.steals, 1U) << name;
    EXPECT_GE(two.counted.wakes, 1U) << name;
  }
}

TEST(TwoCores, LeaveAPairThatWakesEachOtherOnOneOfThem) {
  const run_result one = simulate("pairs", 1, costs{}, 1);
  const run_result two = simulate("pairs", 2, costs{}, 1);
  ASSERT_EQ(one.details.front().first, "round_trips_us");
  const double alone = one.details.front().second;
  EXPECT_GT(alone, 1.0);
  EXPECT_NEAR(two.details.front().second, 2 * alone, 0.2 * alone);
}

TEST(ManyCores, WaitForWhatTheyShare) {
  // With lines that travel for nothing, more cores cost less than with lines that travel far.
  costs near;
  near.same_group = near.same_socket = near.other_socket = 0;
  const run_result free = simulate("tree", 64, near, 1);
  const run_result dear = simulate("tree", 64, costs{}, 1);
  EXPECT_LT(free.counted.time, dear.counted.time);
  EXPECT_LT(free.counted.lock_wait, dear.counted.lock_wait);
}

}  // namespace
