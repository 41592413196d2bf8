#include "runtime/os/debug_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace {

using rt::os::debug_options;
using rt::os::parse_debug_options;
using testing::HasSubstr;

debug_options parse(std::string_view text, std::string* said = nullptr) {
  std::string remarks;
  debug_options options = parse_debug_options(text, remarks);
  if (said != nullptr) {
    *said = remarks;
  } else {
    EXPECT_EQ(remarks, "") << text;
  }
  return options;
}

TEST(debug_options, nothing_is_asked_for_by_default) {
  for (const char* text : {"", ",", ",,"}) EXPECT_FALSE(parse(text).shuffle_seed) << text;
}

TEST(debug_options, a_seed_is_taken_as_given) {
  EXPECT_EQ(parse("sched=random:42").shuffle_seed, 42U);
  EXPECT_EQ(parse(",sched=random:0,").shuffle_seed, 0U);
  EXPECT_EQ(parse("sched=random:18446744073709551615").shuffle_seed, UINT64_MAX);
}

TEST(debug_options, a_seed_that_is_chosen_is_said) {
  std::string said;
  debug_options options = parse("sched=random", &said);
  ASSERT_TRUE(options.shuffle_seed);
  EXPECT_THAT(said, HasSubstr("sched=random:" + std::to_string(*options.shuffle_seed) + " "));
}

TEST(debug_options, what_is_not_understood_is_named_with_the_remedy) {
  for (const char* text : {"sched", "sched=", "sched=fair", "sched=random:", "sched=random:x", "sched=random:1x",
                           "sched=random:-1", "sched=random:18446744073709551616", "sched=randomly"}) {
    std::string said;
    EXPECT_FALSE(parse(text, &said).shuffle_seed) << text;
    EXPECT_THAT(said, HasSubstr("\"" + std::string(text) + "\"")) << text;
    EXPECT_THAT(said, HasSubstr("sched=random:SEED"));
  }
  std::string said;
  EXPECT_EQ(parse("gctracer=1,sched=random:7", &said).shuffle_seed, 7U) << "the rest still counts";
  EXPECT_THAT(said, HasSubstr("\"gctracer\" is unknown"));
  EXPECT_THAT(said, HasSubstr("known are: sched"));
}

TEST(debug_options, the_collectors_options_are_switches_and_numbers) {
  debug_options all = parse("gccheckmark,gcstoptheworld=1,gctrace=1,gcstress=100");
  EXPECT_TRUE(all.check_marks);
  EXPECT_TRUE(all.stop_to_mark);
  EXPECT_TRUE(all.trace_cycles);
  EXPECT_EQ(all.stress_every, 100U);
  EXPECT_FALSE(all.poison_dead || all.check_barrier || all.trace_pacer || all.trace_allocations);
  debug_options others = parse("gcpoison,gcverifybarrier=1,gcpacertrace,allocfreetrace=1");
  EXPECT_TRUE(others.poison_dead && others.check_barrier && others.trace_pacer && others.trace_allocations);
  EXPECT_TRUE(parse("gcverifyrefs").check_slots);
  EXPECT_TRUE(parse("gccheckheap=1").check_heap);
  EXPECT_TRUE(parse("efence").no_reuse);
  debug_options none = parse("gccheckmark=0,gctrace=0");
  EXPECT_FALSE(none.check_marks);
  EXPECT_FALSE(none.trace_cycles);
  for (const char* text : {"gctrace=yes", "gcstress", "gcstress=", "gcstress=x", "gcstress=1x"}) {
    std::string said;
    EXPECT_EQ(parse(text, &said).stress_every, 0U) << text;
    EXPECT_THAT(said, HasSubstr("\"" + std::string(text) + "\"")) << text;
  }
}

}  // namespace
