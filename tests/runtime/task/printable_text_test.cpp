#include "runtime/task/printable_text.h"

#include <gtest/gtest.h>

#include <random>

namespace {

using rt::detail::printable_text;
using namespace std::string_literals;

constexpr std::size_t enough = 1000;

TEST(printable_text, leaves_text_alone) {
  EXPECT_EQ(printable_text("Grüße, 世界 \\ \"quoted\" 🙂", enough), "Grüße, 世界 \\ \"quoted\" 🙂");
  EXPECT_EQ(printable_text("", enough), "");
}

TEST(printable_text, escapes_control_characters) {
  EXPECT_EQ(printable_text("a\tb\nc\rd", enough), "a\\tb\\nc\\rd");
  EXPECT_EQ(printable_text("\x1b[31m\x07\x7f"s + '\0', enough), "\\x1b[31m\\x07\\x7f\\x00");
  EXPECT_EQ(printable_text("\xc2\x9b"
                           "2J",
                           enough),
            "\\xc2\\x9b2J");  // CSI in its 8-bit form
}

TEST(printable_text, escapes_what_is_no_utf8) {
  EXPECT_EQ(printable_text("a\xff"
                           "b",
                           enough),
            "a\\xffb");
  EXPECT_EQ(printable_text("\xc3", enough), "\\xc3");
  EXPECT_EQ(printable_text("\xc0\xaf", enough), "\\xc0\\xaf");           // overlong
  EXPECT_EQ(printable_text("\xe0\x80\xaf", enough), "\\xe0\\x80\\xaf");  // overlong
  EXPECT_EQ(printable_text("\xed\xa0\x80", enough), "\\xed\\xa0\\x80");  // surrogate
  EXPECT_EQ(printable_text("\xf4\x90\x80\x80", enough), "\\xf4\\x90\\x80\\x80");
  EXPECT_EQ(printable_text("\xe4\xb8", enough), "\\xe4\\xb8");
}

TEST(printable_text, cuts_between_characters) {
  EXPECT_EQ(printable_text("abcdefgh", 8), "abcdefgh");
  EXPECT_EQ(printable_text("abcdefghi", 8), "abcde…");
  EXPECT_EQ(printable_text("ab世界世界", 8), "ab世…");
  EXPECT_EQ(printable_text("abc\n\n\n\n", 8), "abc\\n…");
  EXPECT_EQ(printable_text("abc", 2), "");
}

TEST(printable_text, never_exceeds_the_limit_and_is_stable) {
  std::mt19937 random(7);
  for (int round = 0; round < 5000; ++round) {
    std::string raw(random() % 64, ' ');
    for (char& byte : raw) byte = static_cast<char>(random() % 8 == 0 ? 0xE0 + random() % 32 : random() % 256);
    std::size_t limit = random() % 80;
    std::string clean = printable_text(raw, limit);
    ASSERT_LE(clean.size(), limit);
    ASSERT_EQ(printable_text(clean, limit), clean);
  }
}

}  // namespace
