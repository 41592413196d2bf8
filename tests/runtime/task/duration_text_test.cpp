#include "runtime/task/duration_text.h"

#include <gtest/gtest.h>

namespace {

using rt::detail::parse_duration;
using namespace std::chrono_literals;

TEST(duration_text, reads_every_unit) {
  EXPECT_EQ(parse_duration("7ns"), 7ns);
  EXPECT_EQ(parse_duration("7us"), 7us);
  EXPECT_EQ(parse_duration("7ms"), 7ms);
  EXPECT_EQ(parse_duration("7s"), 7s);
  EXPECT_EQ(parse_duration("7m"), 7min);
  EXPECT_EQ(parse_duration("7h"), 7h);
}

TEST(duration_text, adds_several_parts) {
  EXPECT_EQ(parse_duration("1m30s"), 90s);
  EXPECT_EQ(parse_duration("1h0m1ms"), 1h + 1ms);
  EXPECT_EQ(parse_duration("1s1s"), 2s);
}

TEST(duration_text, reads_fractions) {
  EXPECT_EQ(parse_duration("1.5s"), 1500ms);
  EXPECT_EQ(parse_duration(".25ms"), 250us);
  EXPECT_EQ(parse_duration("0.5h"), 30min);
  EXPECT_EQ(parse_duration("0.0000000001s"), 0ns);
  EXPECT_EQ(parse_duration("0.99999999999999999999s"), 999'999'999ns);
}

TEST(duration_text, zero_needs_no_unit) {
  EXPECT_EQ(parse_duration("0"), 0ns);
  EXPECT_EQ(parse_duration("0s"), 0ns);
}

TEST(duration_text, refuses_what_is_none) {
  for (const char* text : {"", "5", "s", "5 s", " 5s", "5s ", "-5s", "+5s", "5x", "5sec", "1.s", ".s", "1e3s", "1,5s",
                           "5S", "infinite", "1m30", "0x5s", "5d"}) {
    EXPECT_EQ(parse_duration(text), std::nullopt) << text;
  }
}

TEST(duration_text, refuses_what_does_not_fit) {
  EXPECT_EQ(parse_duration("9223372036854775807ns"), rt::duration::max());
  EXPECT_EQ(parse_duration("9223372036854775808ns"), std::nullopt);
  EXPECT_EQ(parse_duration("9223372036854775807ns1ns"), std::nullopt);
  EXPECT_EQ(parse_duration("99999999999999999999999s"), std::nullopt);
  EXPECT_EQ(parse_duration("2562047h"), 2562047h);
  EXPECT_EQ(parse_duration("2562048h"), std::nullopt);
}

}  // namespace
