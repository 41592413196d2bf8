// Durations, sizes, addresses, suggestions, text.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/config/duration.h"
#include "daemon/config/endpoint.h"
#include "daemon/config/size.h"
#include "daemon/config/suggest.h"
#include "daemon/config/text.h"

namespace rtd::config {
namespace {

using namespace std::chrono_literals;
using std::chrono::nanoseconds;

TEST(duration, ReadsNumbersWithUnits) {
  EXPECT_EQ(parse_duration("0"), 0ns);
  EXPECT_EQ(parse_duration("0s"), 0ns);
  EXPECT_EQ(parse_duration("100ms"), 100ms);
  EXPECT_EQ(parse_duration("1m30s"), 90s);
  EXPECT_EQ(parse_duration("1d2h3m4s5ms6us7ns"), 26h + 3min + 4s + 5ms + 6us + 7ns);
  EXPECT_EQ(parse_duration("5us"), 5us);
  EXPECT_EQ(parse_duration("5\u00b5s"), 5us);
  EXPECT_EQ(parse_duration("5\u03bcs"), 5us);
  EXPECT_EQ(parse_duration("1m1ms"), 1min + 1ms);
  EXPECT_EQ(parse_duration("007s"), 7s);
  EXPECT_EQ(parse_duration("9223372036854775807ns"), nanoseconds::max());
}

TEST(duration, ReadsFractionsExactly) {
  EXPECT_EQ(parse_duration("1.5s"), 1500ms);
  EXPECT_EQ(parse_duration("0.125m"), 7500ms);
  EXPECT_EQ(parse_duration("1h0.5m"), 1h + 30s);
  EXPECT_EQ(parse_duration("1.000000001s"), 1s + 1ns);
  EXPECT_EQ(parse_duration("1.50000000000000000000000s"), 1500ms);
  EXPECT_EQ(parse_duration("0.1d"), 2h + 24min);
}

TEST(duration, RefusesEverythingElse) {
  const std::vector<std::pair<std::string, std::string>> cases{
      {"", "it is empty"},
      {"5", "the unit is missing after 5"},
      {"1m30", "the unit is missing after 30"},
      {"1.5", "the unit is missing after 1.5"},
      {"-5s", "it is negative"},
      {"+5s", "a number is expected at \"+5s\""},
      {"s", "a number is expected at \"s\""},
      {".5s", "a number is expected at \".5s\""},
      {"1.s", "digits are expected after the point"},
      {"1.5.5s", "the unit is missing after 1.5"},
      {"5 s", "it contains a space"},
      {"5s ", "it contains a space"},
      {" 5s", "a number is expected at \" 5s\""},
      {"5S", "there is no unit \"S\""},
      {"5sec", "there is no unit \"sec\""},
      {"1,5s", "there is no unit \",\""},
      {"1s1m", "its units must stand from the largest to the smallest, each once"},
      {"1s1s", "its units must stand from the largest to the smallest, each once"},
      {"1us1\u00b5s", "its units must stand from the largest to the smallest, each once"},
      {"1.5m3s", "only its last number may have a fraction"},
      {"1.5ns", "it has parts below a nanosecond"},
      {"0.0000000000000000001d", "it has parts below a nanosecond"},
      {"9223372036854775808ns", "it is longer than 292 years"},
      {"9223372036854775807s", "it is longer than 292 years"},
      {"99999999999999999999s", "it is longer than 292 years"},
      {"106751d23h47m16.854775808s", "it is longer than 292 years"},
  };
  for (const auto& [text, why] : cases) {
    std::string error;
    EXPECT_FALSE(parse_duration(text, &error)) << text;
    EXPECT_EQ(error, why) << text;
    EXPECT_FALSE(parse_duration(text)) << text;
  }
}

TEST(duration, WritesTheShortestForm) {
  EXPECT_EQ(format_duration(0ns), "0s");
  EXPECT_EQ(format_duration(100ms), "100ms");
  EXPECT_EQ(format_duration(90s), "1m30s");
  EXPECT_EQ(format_duration(1500ms), "1s500ms");
  EXPECT_EQ(format_duration(24h), "1d");
  EXPECT_EQ(format_duration(5us), "5us");
  EXPECT_EQ(format_duration(nanoseconds::max()), "106751d23h47m16s854ms775us807ns");
}

TEST(duration, ReadsWhatItWrites) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 20'000; ++i) {
    const nanoseconds length(static_cast<std::int64_t>(random() >> (1 + random() % 63)));
    ASSERT_EQ(parse_duration(format_duration(length)), length) << format_duration(length);
  }
}

TEST(size, ReadsNumbersWithUnits) {
  EXPECT_EQ(parse_size("0"), 0U);
  EXPECT_EQ(parse_size("1B"), 1U);
  EXPECT_EQ(parse_size("256KiB"), 256U * 1024);
  EXPECT_EQ(parse_size("3MiB"), 3U << 20);
  EXPECT_EQ(parse_size("2GiB"), std::uint64_t{2} << 30);
  EXPECT_EQ(parse_size("8388607TiB"), std::uint64_t{8388607} << 40);
  EXPECT_EQ(parse_size("9223372036854775807B"), std::uint64_t{INT64_MAX});
}

TEST(size, RefusesEverythingElse) {
  const std::vector<std::pair<std::string, std::string>> cases{
      {"", "it is empty"},
      {"KiB", "it does not start with a digit"},
      {"-1B", "it does not start with a digit"},
      {" 1B", "it does not start with a digit"},
      {"1024", "the unit is missing"},
      {"1 KiB", "there is no unit \" KiB\""},
      {"1.5MiB", "there is no unit \".5MiB\""},
      {"1k", "there is no unit \"k\", did you mean \"KiB\"?"},
      {"1KB", "there is no unit \"KB\", did you mean \"KiB\"?"},
      {"1mb", "there is no unit \"mb\", did you mean \"MiB\"?"},
      {"1G", "there is no unit \"G\", did you mean \"GiB\"?"},
      {"1bytes", "there is no unit \"bytes\""},
      {"1PiB", "there is no unit \"PiB\""},
      {"8388608TiB", "it is larger than 8191 PiB"},
      {"9223372036854775808B", "it is larger than 8191 PiB"},
      {"18446744073709551616B", "it is larger than 8191 PiB"},
  };
  for (const auto& [text, why] : cases) {
    std::string error;
    EXPECT_FALSE(parse_size(text, &error)) << text;
    EXPECT_EQ(error, why) << text;
  }
}

TEST(size, ReadsWhatItWrites) {
  EXPECT_EQ(format_size(0), "0");
  EXPECT_EQ(format_size(1000), "1000B");
  EXPECT_EQ(format_size(256 * 1024), "256KiB");
  EXPECT_EQ(format_size(std::uint64_t{1} << 50), "1024TiB");
  std::mt19937_64 random(2);
  for (int i = 0; i < 20'000; ++i) {
    const std::uint64_t bytes = (random() >> (1 + random() % 63)) << (random() % 2 * 10) & INT64_MAX;
    ASSERT_EQ(parse_size(format_size(bytes)), bytes) << format_size(bytes);
  }
}

TEST(endpoint, ReadsAddressAndPort) {
  EXPECT_EQ(parse_endpoint("127.0.0.1:9180"), (endpoint{"127.0.0.1", 9180}));
  EXPECT_EQ(parse_endpoint("0.0.0.0:0"), (endpoint{"0.0.0.0", 0}));
  EXPECT_EQ(parse_endpoint("[::1]:65535"), (endpoint{"::1", 65535}));
  EXPECT_EQ(parse_endpoint("[::ffff:10.0.0.1]:80"), (endpoint{"::ffff:10.0.0.1", 80}));
  EXPECT_EQ(parse_endpoint("localhost:80"), (endpoint{"127.0.0.1", 80}));
}

TEST(endpoint, RefusesEverythingElse) {
  const std::vector<std::pair<std::string, std::string>> cases{
      {"", "the port is missing"},
      {"9180", "the port is missing"},
      {"127.0.0.1", "the port is missing"},
      {"[::1]", "the port is missing"},
      {"127.0.0.1:", "the port \"\" is no number from 0 to 65535"},
      {"127.0.0.1:65536", "the port \"65536\" is no number from 0 to 65535"},
      {"127.0.0.1:-1", "the port \"-1\" is no number from 0 to 65535"},
      {"127.0.0.1:+1", "the port \"+1\" is no number from 0 to 65535"},
      {"127.0.0.1:000080", "the port \"000080\" is no number from 0 to 65535"},
      {"127.0.0.1:http", "the port \"http\" is no number from 0 to 65535"},
      {":9180", "the address is missing; every interface is \"0.0.0.0\" or \"[::]\""},
      {"::1:9180", "an IPv6 address stands in square brackets"},
      {"[::1]x:9180", "something stands between ']' and ':'"},
      {"[::g]:9180", "\"::g\" is no IPv6 address"},
      {"[127.0.0.1]:80", "\"127.0.0.1\" is no IPv6 address"},
      {"[]:80", "\"\" is no IPv6 address"},
      {"[:80", "the port is missing"},
      {"example.com:80", "\"example.com\" is no IP address"},
      {"256.0.0.1:80", "\"256.0.0.1\" is no IP address"},
      {"127.1:80", "\"127.1\" is no IP address"},
      {std::string("127.0.0.1\0:80", 13), "\"127.0.0.1\\x00\" is no IP address"},
  };
  for (const auto& [text, why] : cases) {
    std::string error;
    EXPECT_FALSE(parse_endpoint(text, &error)) << text;
    EXPECT_EQ(error, why) << text;
  }
}

TEST(endpoint, ReadsWhatItWrites) {
  for (const std::string text : {"127.0.0.1:9180", "[::1]:0", "[fe80::1]:65535"}) {
    EXPECT_EQ(format_endpoint(*parse_endpoint(text)), text);
  }
}

TEST(suggestion, FindsLikelySlips) {
  const std::vector<std::string_view> keys{"max_procs",    "stack_size", "limits", "restart",
                                           "stop_timeout", "uid",        "gid"};
  EXPECT_EQ(nearest("max_prcs", keys), "max_procs");
  EXPECT_EQ(nearest("maxProcs", keys), "max_procs");
  EXPECT_EQ(nearest("MAX-PROCS", keys), "max_procs");
  EXPECT_EQ(nearest("limtis", keys), "limits");
  EXPECT_EQ(nearest("restarts", keys), "restart");
  EXPECT_EQ(nearest("stack", keys), "stack_size");
  EXPECT_EQ(nearest("stack_size_bytes", keys), "stack_size");
  EXPECT_EQ(nearest("uuid", keys), "uid");
  EXPECT_EQ(nearest("iud", keys), "uid");
}

TEST(suggestion, IsSilentWhenNothingIsNear) {
  const std::vector<std::string_view> keys{"max_procs", "limits", "uid"};
  EXPECT_EQ(nearest("colour", keys), "");
  EXPECT_EQ(nearest("", keys), "");
  EXPECT_EQ(nearest("x", keys), "");
  EXPECT_EQ(nearest(std::string(5000, 'm'), keys), "");
  EXPECT_EQ(nearest("limits", {}), "");
  EXPECT_EQ(did_you_mean("colour", keys, "otherwise"), "otherwise");
  EXPECT_EQ(did_you_mean("limit", keys, "otherwise"), "did you mean \"limits\"?");
}

TEST(suggestion, ListsWords) {
  EXPECT_EQ(list_of({}, "or"), "");
  EXPECT_EQ(list_of({"a"}, "or"), "\"a\"");
  EXPECT_EQ(list_of({"a", "b"}, "or"), "\"a\" or \"b\"");
  EXPECT_EQ(list_of({"a", "b", "c"}, "and"), "\"a\", \"b\" and \"c\"");
  const std::string many = list_of(std::vector<std::string_view>(100, "w"), "or");
  EXPECT_EQ(many.substr(many.size() - 8), "\"w\", …");
}

TEST(text, FindsTheFirstByteThatIsNotUtf8) {
  const std::vector<std::string> good{
      "", "plain", "\u00fc\u20ac\U0001f600", std::string("\0", 1), "\xed\x9f\xbf", "\xee\x80\x80", "\xf4\x8f\xbf\xbf"};
  for (const std::string& text : good) EXPECT_FALSE(first_invalid_utf8(text)) << text;
  const std::vector<std::pair<std::string, std::size_t>> bad{{"ab\xff", 2},
                                                             {"\x80", 0},
                                                             {"\xc3", 0},
                                                             {"\u00fc\xc3(", 2},
                                                             {"\xc0\xaf", 0},
                                                             {"\xe0\x80\xaf", 0},
                                                             {"a\xed\xa0\x80", 1},
                                                             {"\xf4\x90\x80\x80", 0},
                                                             {"\xf8\x88\x80\x80\x80", 0},
                                                             {"\xf0\x9f\x98", 0},
                                                             {"\xfe", 0}};
  for (const auto& [text, offset] : bad) EXPECT_EQ(first_invalid_utf8(text), offset) << text;
}

TEST(text, CountsColumnsInCharacters) {
  const std::string text = "a\u00fc\u20ac\U0001f600b\nc\r\nd";
  place_counter counter(text);
  EXPECT_EQ(counter.advance_to(0), (place{1, 1}));
  EXPECT_EQ(counter.advance_to(text.find('b')), (place{1, 5}));
  EXPECT_EQ(counter.advance_to(text.find('c')), (place{2, 1}));
  EXPECT_EQ(counter.advance_to(text.find('d')), (place{3, 1}));
  EXPECT_EQ(counter.advance_to(text.size()), (place{3, 2}));
  EXPECT_EQ(counter.advance_to(text.size() + 100), (place{3, 2}));
}

TEST(text, QuotesSafely) {
  EXPECT_EQ(in_quotes(""), "\"\"");
  EXPECT_EQ(in_quotes("a\"b\\c"), "\"a\\\"b\\\\c\"");
  EXPECT_EQ(in_quotes("\x1b[31m\n"), "\"\\x1b[31m\\n\"");
  EXPECT_EQ(in_quotes(std::string(100, 'x'), 10), "\"xxxxxxx…\"");
  EXPECT_EQ(in_quotes("\u20ac\u20ac\u20ac\u20ac\u20ac", 10), "\"\u20ac\u20ac…\"");
}

}  // namespace
}  // namespace rtd::config
