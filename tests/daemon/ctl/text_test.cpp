#include "daemon/ctl/text.h"

#include <gtest/gtest.h>

namespace rtd::ctl {
namespace {

TEST(SafeLine, LeavesPlainTextAlone) {
  EXPECT_EQ(safe_line("12 targets, 1 down"), "12 targets, 1 down");
  EXPECT_EQ(safe_line("Grüße, 例え, 🙂"), "Grüße, 例え, 🙂");
}

TEST(SafeLine, ShowsWhatSteersATerminal) {
  EXPECT_EQ(safe_line("a\x1b[31mb"), "a\\x1b[31mb");
  EXPECT_EQ(safe_line("a\nb\rc\td"), "a\\nb\\rc d");
  EXPECT_EQ(safe_line("a\xc2\x9b"
                      "31mb"),
            "a\\x9b31mb")
      << "C1 control characters are escapes as well";
  EXPECT_EQ(safe_line("\xe2\x80\xae"
                      "abc"),
            "\\u202eabc");
  EXPECT_EQ(safe_line("a\xff"), "a\xEF\xBF\xBD");
}

TEST(SafeBlock, KeepsLinesAndTabs) {
  EXPECT_EQ(safe_block("goroutine 1 [running]:\n\tf\x1b(0\n\nend"), "goroutine 1 [running]:\n\tf\\x1b(0\n\nend");
  EXPECT_EQ(safe_block("a\n"), "a\n");
  EXPECT_EQ(safe_block(""), "");
}

TEST(SafeJson, EscapesWhatJsonLetsThrough) {
  EXPECT_EQ(safe_json("{\"a\":\"\xc2\x9b\x7f\xe2\x80\xae é\"}"), "{\"a\":\"\\u009b\\u007f\\u202e é\"}");
}

TEST(DisplayWidth, CountsColumnsNotBytes) {
  EXPECT_EQ(display_width(""), 0U);
  EXPECT_EQ(display_width("abc"), 3U);
  EXPECT_EQ(display_width("Grüße"), 5U);
  EXPECT_EQ(display_width("例え"), 4U);
  EXPECT_EQ(display_width("🙂"), 2U);
  EXPECT_EQ(display_width("e\xcc\x81"), 1U) << "a combining accent stands on its letter";
  EXPECT_EQ(display_width("a\xe2\x80\x8b"
                          "b"),
            2U)
      << "zero width space";
  EXPECT_EQ(display_width("한국"), 4U);
}

TEST(CutToWidth, CutsBetweenCharacters) {
  EXPECT_EQ(cut_to_width("abcdef", 6), "abcdef");
  EXPECT_EQ(cut_to_width("abcdef", 4), "abc…");
  EXPECT_EQ(cut_to_width("例え例え", 6), "例え…");
  EXPECT_EQ(cut_to_width("例え例え", 4), "例…") << "half a wide character is none";
  EXPECT_EQ(cut_to_width("abc", 1), "…");
  EXPECT_EQ(cut_to_width("abc", 0), "");
  EXPECT_EQ(cut_to_width("e\xcc\x81"
                         "bcd",
                         3),
            "e\xcc\x81"
            "b…");
}

TEST(Paint, ColoursOnlyWhenAsked) {
  EXPECT_EQ(paint("up", tone::good, true), "\x1b[32mup\x1b[0m");
  EXPECT_EQ(paint("up", tone::good, false), "up");
  EXPECT_EQ(paint("up", tone::plain, true), "up");
}

TEST(Tones, KnowTheStates) {
  EXPECT_EQ(tone_of_state("running"), tone::good);
  EXPECT_EQ(tone_of_state("listening"), tone::good);
  EXPECT_EQ(tone_of_state("backoff"), tone::warning);
  EXPECT_EQ(tone_of_state("fatal"), tone::bad);
  EXPECT_EQ(tone_of_state("something new"), tone::plain);
  EXPECT_EQ(tone_of_level("error"), tone::bad);
  EXPECT_EQ(tone_of_level("info"), tone::plain);
}

}  // namespace
}  // namespace rtd::ctl
