#include "daemon/ctl/units.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <ctime>

namespace rtd::ctl {
namespace {

TEST(FormatAge, ShowsTheTwoUnitsThatMatter) {
  EXPECT_EQ(format_age(0), "0s");
  EXPECT_EQ(format_age(0.9), "0s");
  EXPECT_EQ(format_age(119.9), "119s");
  EXPECT_EQ(format_age(120), "2m");
  EXPECT_EQ(format_age(150), "2m30s");
  EXPECT_EQ(format_age(600), "10m");
  EXPECT_EQ(format_age(3 * 3600 + 12 * 60), "3h12m");
  EXPECT_EQ(format_age(30 * 3600), "30h");
  EXPECT_EQ(format_age(4 * 86400 + 3 * 3600 + 59), "4d3h");
  EXPECT_EQ(format_age(120 * 86400), "120d");
}

TEST(FormatAge, HasNoNonsense) {
  EXPECT_EQ(format_age(std::nullopt), "-");
  EXPECT_EQ(format_age(-1), "-");
  EXPECT_EQ(format_age(NAN), "-");
  EXPECT_EQ(format_age(1e300), "-");
}

TEST(ParseBytes, WantsAUnit) {
  EXPECT_EQ(parse_bytes("0B"), 0U);
  EXPECT_EQ(parse_bytes("16KiB"), 16U << 10);
  EXPECT_EQ(parse_bytes("512MiB"), 512U << 20);
  EXPECT_EQ(parse_bytes("2TiB"), std::uint64_t{2} << 40);
  for (const char* wrong : {"", "512", "MiB", "1 MiB", "1MB", "-1MiB", "1.5MiB", "9223372036854775807KiB"})
    EXPECT_EQ(parse_bytes(wrong), std::nullopt) << wrong;
}

TEST(FormatSeconds, KeepsThreeDigits) {
  EXPECT_EQ(format_seconds(0), "0s");
  EXPECT_EQ(format_seconds(0.00042), "420us");
  EXPECT_EQ(format_seconds(0.0009999), "1ms");
  EXPECT_EQ(format_seconds(0.0123), "12.3ms");
  EXPECT_EQ(format_seconds(0.9999), "1.00s");
  EXPECT_EQ(format_seconds(1.234), "1.23s");
  EXPECT_EQ(format_seconds(59.999), "1m00s");
  EXPECT_EQ(format_seconds(65), "1m05s");
  EXPECT_EQ(format_seconds(2 * 3600 + 3 * 60), "2h03m");
  EXPECT_EQ(format_seconds(std::nullopt), "-");
}

TEST(FormatBytes, UsesBinaryUnits) {
  EXPECT_EQ(format_bytes(0), "0 B");
  EXPECT_EQ(format_bytes(1023), "1023 B");
  EXPECT_EQ(format_bytes(1024), "1.0 KiB");
  EXPECT_EQ(format_bytes(1024 * 1024 - 1), "1.0 MiB") << "never 1024.0 KiB";
  EXPECT_EQ(format_bytes(67'300'000), "64.2 MiB");
  EXPECT_EQ(format_bytes(1.5 * 1024 * 1024 * 1024), "1.5 GiB");
  EXPECT_EQ(format_bytes(5e18), "4440.9 PiB");
  EXPECT_EQ(format_bytes(-1), "-");
  EXPECT_EQ(format_bytes(std::nullopt), "-");
}

TEST(ParseSeconds, ReadsUnits) {
  EXPECT_EQ(parse_seconds("10"), 10);
  EXPECT_EQ(parse_seconds("0"), 0);
  EXPECT_EQ(parse_seconds("1.5"), 1.5);
  EXPECT_EQ(parse_seconds("500ms"), 0.5);
  EXPECT_EQ(parse_seconds("1m30s"), 90);
  EXPECT_EQ(parse_seconds("1.5h"), 5400);
  EXPECT_EQ(parse_seconds("2d"), 172800);
  EXPECT_DOUBLE_EQ(parse_seconds("250us").value(), 250e-6);
}

TEST(ParseSeconds, RefusesTheRest) {
  for (const char* text : {"", "s", "abc", "-5s", "+5s", "5 s", "5s ", "1m30", "5x", "5sec", "1..5s", ".", "1e3s",
                           "inf", "nan", "999999999999d", "5s,"})
    EXPECT_EQ(parse_seconds(text), std::nullopt) << text;
}

TEST(ParseTime, ReadsRfc3339) {
  EXPECT_EQ(parse_time("1970-01-01T00:00:00Z"), 0);
  EXPECT_EQ(parse_time("2025-11-23T18:49:05.125Z"), 1763923745.125);
  EXPECT_EQ(parse_time("2025-11-23T19:49:05+01:00"), 1763923745);
  for (const char* text : {"", "now", "2025-11-23", "2025-11-23T18:49:05", "2025-13-23T18:49:05Z",
                           "2025-11-23T18:49:05.Z", "2025-11-23T18:49:05Z and more", "2025-11-23T18:49:05*01:00"})
    EXPECT_EQ(parse_time(text), std::nullopt) << text;
}

class LocalTime : public testing::Test {
 protected:
  void SetUp() override {
    if (const char* zone = std::getenv("TZ")) former_ = zone;
    setenv("TZ", "XYZ-5:30", 1);
    tzset();
  }
  void TearDown() override {
    if (former_)
      setenv("TZ", former_->c_str(), 1);
    else
      unsetenv("TZ");
    tzset();
  }

 private:
  std::optional<std::string> former_;
};

TEST_F(LocalTime, IsInTheZoneOfTheReader) {
  EXPECT_EQ(local_time("2025-11-23T18:49:05.123Z"), "2025-11-24 00:19:05.123");
  EXPECT_EQ(local_time("2025-11-23T18:49:05Z"), "2025-11-24 00:19:05.000");
  EXPECT_EQ(local_time("yesterday"), "yesterday");
}

}  // namespace
}  // namespace rtd::ctl
