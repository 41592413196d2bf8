#include "runtime/sched/slack.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

namespace {

using rt::detail::coalesced;

TEST(slack, no_slack_changes_nothing) {
  for (std::int64_t when : {std::int64_t{0}, std::int64_t{1}, std::int64_t{12345}, INT64_MAX - 1, INT64_MAX}) {
    EXPECT_EQ(coalesced(when, 0), when);
    EXPECT_EQ(coalesced(when, -5), when);
  }
}

TEST(slack, never_early_never_beyond_and_never_stays_never) {
  std::mt19937_64 random(5);
  for (int i = 0; i < 100'000; ++i) {
    auto when = static_cast<std::int64_t>(random() >> (1 + random() % 62));
    auto length = static_cast<std::int64_t>(random() >> (1 + random() % 62));
    std::int64_t chosen = coalesced(when, length);
    ASSERT_GE(chosen, when) << length;
    ASSERT_LE(chosen - when, length) << when;
  }
  EXPECT_EQ(coalesced(INT64_MAX, 1000), INT64_MAX);
  EXPECT_LT(coalesced(INT64_MAX - 1, 1000), INT64_MAX) << "a time of its own, however late";
  EXPECT_LT(coalesced(1, INT64_MAX), INT64_MAX);
}

TEST(slack, neighbours_choose_the_same_moment) {
  std::mt19937_64 random(6);
  std::set<std::int64_t> moments;
  constexpr std::int64_t span = 100'000'000;
  for (int i = 0; i < 1000; ++i) {
    moments.insert(coalesced(946'684'800'000'000'000 + static_cast<std::int64_t>(random() % span), 10'000'000));
  }
  // Every span of 10 ms has a multiple of 2^22 ns (4.2 ms) in it, which is the coarsest that all of them have.
  EXPECT_LE(moments.size(), span / (1U << 22U) + 2);
}

}  // namespace
