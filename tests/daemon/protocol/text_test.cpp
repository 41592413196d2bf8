#include "daemon/protocol/text.h"

#include <gtest/gtest.h>

#include <limits>

#include "random_source.h"

namespace rtd::protocol {
namespace {

TEST(clean_text, keeps_good_text) {
  EXPECT_EQ(clean_text("hello,\tworld – ünïcode 🚀"), "hello,\tworld – ünïcode 🚀");
  EXPECT_EQ(clean_text(""), "");
}

TEST(clean_text, shows_what_steers_a_terminal) {
  EXPECT_EQ(clean_text("\x1b[31mred\x1b[0m\r\n"), "\\x1b[31mred\\x1b[0m\\r\\n");
  EXPECT_EQ(clean_text(std::string("a\0b\x7f", 4)), "a\\x00b\\x7f");
  EXPECT_EQ(clean_text("\xC2\x9B"
                       "31m"),
            "\\x9b31m")
      << "the C1 form of ESC [";
  EXPECT_EQ(clean_text("a\u202Eb\u2066c"), "a\\u202eb\\u2066c");
}

TEST(clean_text, repairs_utf8) {
  EXPECT_EQ(clean_text("a\xffz"), "a\uFFFDz");
  EXPECT_EQ(clean_text("\xC3"), "\uFFFD");
  EXPECT_EQ(clean_text("\xE2\x82z"), "\uFFFDz") << "a cut sequence is one character";
  EXPECT_EQ(clean_text("\xC0\xAF"), "\uFFFD\uFFFD") << "overlong";
  EXPECT_EQ(clean_text("\xED\xA0\x80"), "\uFFFD\uFFFD\uFFFD") << "a surrogate";
  EXPECT_EQ(clean_text("\xF4\x90\x80\x80"), "\uFFFD\uFFFD\uFFFD\uFFFD") << "past the last code point";
}

TEST(clean_text, cuts_between_characters) {
  EXPECT_EQ(clean_text("abcdef", 6), "abcdef");
  EXPECT_EQ(clean_text("abcdefg", 6), "abc…");
  EXPECT_EQ(clean_text("ääää", 7), "ää…");
  EXPECT_EQ(clean_text("\x01\x01\x01", 8), "\\x01…") << "an escape is not cut in its middle";
  EXPECT_EQ(clean_text("abc", 2), "");
}

TEST(clean_text, random_input_gives_printable_utf8_within_the_limit) {
  auto random = test::seeded_random();
  for (int round = 0; round < 20'000; ++round) {
    const std::size_t limit = random() % 64;
    const std::string text = clean_text(test::random_bytes(random, random() % 100), limit);
    ASSERT_LE(text.size(), limit);
    ASSERT_TRUE(is_utf8(text));
    for (char byte : text) ASSERT_TRUE(static_cast<unsigned char>(byte) >= 0x20 || byte == '\t');
    ASSERT_EQ(text.find('\x7f'), std::string::npos);
  }
}

TEST(names, are_checked) {
  EXPECT_TRUE(is_name("default"));
  EXPECT_TRUE(is_name("a-b_c9"));
  EXPECT_TRUE(is_name(std::string(63, 'a')));
  for (const char* bad : {"", "9a", "-a", "A", "a b", "ä", "a/b", "a.b"}) EXPECT_FALSE(is_name(bad)) << bad;
  EXPECT_FALSE(is_name(std::string(64, 'a')));
  EXPECT_TRUE(is_identifier("serve_It9"));
  EXPECT_FALSE(is_identifier("9serve"));
  EXPECT_FALSE(is_identifier("serve-it"));
}

TEST(times, rfc3339) {
  EXPECT_EQ(rfc3339(0.0), "1970-01-01T00:00:00.000Z");
  EXPECT_EQ(rfc3339(1700000000.25), "2023-11-14T22:13:20.250Z");
  EXPECT_EQ(rfc3339(std::numeric_limits<double>::quiet_NaN()), "1970-01-01T00:00:00.000Z");
  EXPECT_EQ(rfc3339(1e300), "1970-01-01T00:00:00.000Z");
  EXPECT_EQ(rfc3339(-5.0), "1970-01-01T00:00:00.000Z");
}

TEST(edit_distance, counts_typing_errors) {
  EXPECT_EQ(edit_distance("", "abc"), 3u);
  EXPECT_EQ(edit_distance("stauts", "status"), 1u);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3u);
  EXPECT_EQ(edit_distance("same", "same"), 0u);
}

}  // namespace
}  // namespace rtd::protocol
