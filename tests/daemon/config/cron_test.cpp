// Cron expressions: what they mean, and what they say where local time jumps.
#include "daemon/config/cron.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <ctime>
#include <random>
#include <vector>

namespace rtd::config {
namespace {

using std::chrono::system_clock;
using testing::ElementsAre;

/// Sets the process's zone for a test.
class in_zone {
 public:
  explicit in_zone(const char* name) {
    ::setenv("TZ", name, 1);
    ::tzset();
  }
  ~in_zone() {
    ::unsetenv("TZ");
    ::tzset();
  }
  in_zone(const in_zone&) = delete;
  in_zone& operator=(const in_zone&) = delete;
};

// Zones as rules, so that no zone file is needed. Europe: forward at 02:00 on the last Sunday of March, back at 03:00
// on that of October. Lord Howe: by half an hour.
constexpr const char* berlin = "CET-1CEST,M3.5.0,M10.5.0/3";
constexpr const char* lord_howe = "LHST-10:30LHDT-11,M10.1.0,M4.1.0";
// Forward at midnight.
constexpr const char* midnight = "AAA4BBB,M9.1.0/0,M4.1.0/0";

system_clock::time_point at(const char* utc) {
  std::tm parts = {};
  ::strptime(utc, "%Y-%m-%d %H:%M:%S", &parts);
  return system_clock::from_time_t(::timegm(&parts));
}

cron parse(std::string_view text) {
  std::string error;
  const auto result = parse_cron(text, &error);
  EXPECT_TRUE(result) << text << ": " << error;
  return result.value_or(cron{});
}

/// The next `count` times after `from`, in UTC.
std::vector<std::string> times(std::string_view text, const char* from, int count, time_zone zone = time_zone::utc) {
  std::vector<std::string> result;
  system_clock::time_point now = at(from);
  const cron schedule = parse(text);
  for (int i = 0; i < count; ++i) {
    const auto next = next_time(schedule, now, zone);
    if (!next) break;
    now = *next;
    const std::time_t seconds = system_clock::to_time_t(now);
    std::tm parts = {};
    ::gmtime_r(&seconds, &parts);
    char shown[32];
    std::strftime(shown, sizeof shown, "%F %R", &parts);
    result.emplace_back(shown);
  }
  return result;
}

std::string problem(std::string_view text) {
  std::string error;
  EXPECT_FALSE(parse_cron(text, &error)) << text;
  return error;
}

TEST(cron, FieldsAreNumbersRangesStepsListsAndNames) {
  EXPECT_THAT(times("*/20 8-9 * * *", "2026-01-01 00:00:00", 7),
              ElementsAre("2026-01-01 08:00", "2026-01-01 08:20", "2026-01-01 08:40", "2026-01-01 09:00",
                          "2026-01-01 09:20", "2026-01-01 09:40", "2026-01-02 08:00"));
  EXPECT_THAT(
      times("5,10-30/10 0 1 jan,MAR-may *", "2026-01-01 00:06:00", 5),
      ElementsAre("2026-01-01 00:10", "2026-01-01 00:20", "2026-01-01 00:30", "2026-03-01 00:05", "2026-03-01 00:10"));
  EXPECT_THAT(times("0 12 * * Mon-fri", "2026-01-02 13:00:00", 2), ElementsAre("2026-01-05 12:00", "2026-01-06 12:00"));
  EXPECT_EQ(parse("0 0 * * 0").weekdays, parse("0 0 * * 7").weekdays);
  EXPECT_EQ(parse("0 0 * * sun").weekdays, 1U);
  EXPECT_EQ(parse("0 0 * * 5-7").weekdays, 0b1100001U);
  EXPECT_EQ(parse("  0\t0  * * *  ").hours, 1U);
}

TEST(cron, Nicknames) {
  EXPECT_THAT(times("@hourly", "2026-01-01 00:00:00", 2), ElementsAre("2026-01-01 01:00", "2026-01-01 02:00"));
  EXPECT_THAT(times("@Daily", "2026-01-01 00:00:00", 1), ElementsAre("2026-01-02 00:00"));
  EXPECT_THAT(times("@weekly", "2026-01-01 00:00:00", 1), ElementsAre("2026-01-04 00:00"));
  EXPECT_THAT(times("@monthly", "2026-01-01 00:00:00", 1), ElementsAre("2026-02-01 00:00"));
  EXPECT_THAT(times("@yearly", "2026-01-01 00:00:00", 1), ElementsAre("2027-01-01 00:00"));
}

TEST(cron, DaysOfMonthAndOfWeek) {
  // Either, when both are given; both, when one begins with a star.
  EXPECT_THAT(times("0 0 13 * fri", "2026-01-01 00:00:00", 3),
              ElementsAre("2026-01-02 00:00", "2026-01-09 00:00", "2026-01-13 00:00"));
  EXPECT_THAT(times("0 0 */2 * fri", "2026-01-01 00:00:00", 2), ElementsAre("2026-01-09 00:00", "2026-01-23 00:00"));
}

TEST(cron, RareDays) {
  EXPECT_THAT(times("0 0 29 2 *", "2026-01-01 00:00:00", 2), ElementsAre("2028-02-29 00:00", "2032-02-29 00:00"));
  EXPECT_THAT(times("59 23 31 12 *", "2026-12-31 23:59:00", 1), ElementsAre("2027-12-31 23:59"));
  EXPECT_THAT(times("0 0 29 2 *", "2097-01-01 00:00:00", 1), ElementsAre("2104-02-29 00:00"));
}

TEST(cron, ATimeIsNeverItsOwnNext) {
  EXPECT_THAT(times("* * * * *", "2026-01-01 00:00:59", 2), ElementsAre("2026-01-01 00:01", "2026-01-01 00:02"));
}

TEST(cron, SaysWhatIsWrong) {
  EXPECT_EQ(problem(""), "it has 0 fields, not five: minute, hour, day of month, month, day of week");
  EXPECT_EQ(problem("* * * *"), "it has 4 fields, not five: minute, hour, day of month, month, day of week");
  EXPECT_EQ(problem("60 * * * *"), "the minute \"60\" is not from 0 to 59");
  EXPECT_EQ(problem("* 24 * * *"), "the hour \"24\" is not from 0 to 23");
  EXPECT_EQ(problem("* * 0 * *"), "the day of month \"0\" is not from 1 to 31");
  EXPECT_EQ(problem("* * * 13 *"), "the month \"13\" is not from 1 to 12");
  EXPECT_EQ(problem("* * * * 8"), "the day of week \"8\" is not from 0 to 7");
  EXPECT_EQ(problem("* * * juni *"), "the month \"juni\" is no number and no name");
  EXPECT_EQ(problem("-1 * * * *"), "the minute \"\" is no number");
  EXPECT_EQ(problem("1,,2 * * * *"), "the minute has an empty part");
  EXPECT_EQ(problem("*/0 * * * *"), "the minute has the step \"0\", not one from 1 to 59");
  EXPECT_EQ(problem("5/10 * * * *"), "the minute has a step behind \"5\", which is no range: write 5-59/10");
  EXPECT_EQ(problem("* * * * fri-mon"), "the day of week has the range \"fri-mon\", which ends before it begins");
  EXPECT_EQ(problem("0 0 30 2 *"), "it never comes: there is no such day");
  EXPECT_EQ(problem("@reboot"), "there is no \"@reboot\"; there are @hourly, @daily, @weekly, @monthly and @yearly");
  EXPECT_EQ(problem(std::string(600, '*')), "it is longer than 512 bytes");
}

TEST(cron, LocalTimeIsTheZones) {
  const in_zone zone(berlin);
  EXPECT_THAT(times("0 6 * * *", "2026-01-01 00:00:00", 1, time_zone::local), ElementsAre("2026-01-01 05:00"));
  EXPECT_THAT(times("0 6 * * *", "2026-07-01 00:00:00", 1, time_zone::local), ElementsAre("2026-07-01 04:00"));
  EXPECT_THAT(times("0 6 * * *", "2026-07-01 00:00:00", 1, time_zone::utc), ElementsAre("2026-07-01 06:00"));
}

TEST(cron, WhatTheClockLeavesOutComesAtTheChange) {
  const in_zone zone(berlin);  // 2026-03-29, 02:00 becomes 03:00: 01:00 UTC
  EXPECT_THAT(times("30 2 * * *", "2026-03-28 00:00:00", 3, time_zone::local),
              ElementsAre("2026-03-28 01:30", "2026-03-29 01:00", "2026-03-30 00:30"));
  EXPECT_THAT(times("*/10 2 * * *", "2026-03-28 12:00:00", 2, time_zone::local),
              ElementsAre("2026-03-29 01:00", "2026-03-30 00:00"))
      << "once";
  EXPECT_THAT(times("0 2-3 * * *", "2026-03-28 12:00:00", 2, time_zone::local),
              ElementsAre("2026-03-29 01:00", "2026-03-30 00:00"))
      << "the change is three o'clock";
}

TEST(cron, WhatComesTwiceCountsOnce) {
  const in_zone zone(berlin);  // 2026-10-25, 03:00 becomes 02:00: 01:00 UTC
  EXPECT_THAT(times("30 2 * * *", "2026-10-24 12:00:00", 2, time_zone::local),
              ElementsAre("2026-10-25 00:30", "2026-10-26 01:30"));
  EXPECT_THAT(times("30 2 * * *", "2026-10-25 00:45:00", 1, time_zone::local), ElementsAre("2026-10-26 01:30"));
}

TEST(cron, EveryHourGoesByTimeThatPasses) {
  const in_zone zone(berlin);
  EXPECT_THAT(times("30 * * * *", "2026-10-24 23:00:00", 4, time_zone::local),
              ElementsAre("2026-10-24 23:30", "2026-10-25 00:30", "2026-10-25 01:30", "2026-10-25 02:30"));
  EXPECT_THAT(times("30 * * * *", "2026-03-29 00:00:00", 2, time_zone::local),
              ElementsAre("2026-03-29 00:30", "2026-03-29 01:30"));
}

TEST(cron, ChangesOfHalfAnHour) {
  const in_zone zone(lord_howe);
  // 2026-10-04 02:00 +10:30 becomes 02:30 (15:30 UTC); 2026-04-05 02:00 +11 becomes 01:30 (15:00 UTC).
  EXPECT_THAT(times("15 2 * * *", "2026-10-03 12:00:00", 1, time_zone::local), ElementsAre("2026-10-03 15:30"));
  EXPECT_THAT(times("45 1 * * *", "2026-04-04 12:00:00", 2, time_zone::local),
              ElementsAre("2026-04-04 14:45", "2026-04-05 15:15"));
}

TEST(cron, AChangeAtMidnight) {
  const in_zone zone(midnight);
  // 2026-09-06 00:00 becomes 01:00 (04:00 UTC); 2026-04-05 00:00 becomes 23:00 of the day before (03:00 UTC).
  EXPECT_THAT(times("0 0 6 9 *", "2026-09-01 00:00:00", 1, time_zone::local), ElementsAre("2026-09-06 04:00"));
  EXPECT_THAT(times("30 23 4 4 *", "2026-04-01 00:00:00", 1, time_zone::local), ElementsAre("2026-04-05 02:30"));
  EXPECT_THAT(times("0 0 5 4 *", "2026-04-05 03:10:00", 1, time_zone::local), ElementsAre("2026-04-05 04:00"));
}

TEST(cron, EachTimeFitsAndNoneIsLeftOut) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  for (int round = 0; round < 50; ++round) {
    cron schedule;
    schedule.minutes = (std::uint64_t{random()} << 32U | random()) & ((std::uint64_t{1} << 60U) - 1);
    schedule.hours = random() & 0xffffffU;
    schedule.days = 0xfffffffeU;
    schedule.months = 0x1ffeU;
    schedule.weekdays = random() & 0x7fU;
    if (schedule.minutes == 0 || schedule.hours == 0 || schedule.weekdays == 0) continue;
    const system_clock::time_point from = at("2026-01-01 00:00:00") + std::chrono::minutes(random() % 1'000'000);
    const auto next = next_time(schedule, from, time_zone::utc);
    ASSERT_TRUE(next);
    for (auto time = from + std::chrono::minutes(1); time <= *next; time += std::chrono::minutes(1)) {
      const std::time_t seconds = system_clock::to_time_t(time);
      std::tm parts = {};
      ::gmtime_r(&seconds, &parts);
      const bool fits = (schedule.minutes >> parts.tm_min & 1U) != 0 && (schedule.hours >> parts.tm_hour & 1U) != 0 &&
                        (schedule.weekdays >> parts.tm_wday & 1U) != 0;
      ASSERT_EQ(fits, time == *next);
    }
  }
}

}  // namespace
}  // namespace rtd::config
