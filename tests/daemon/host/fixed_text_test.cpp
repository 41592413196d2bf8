#include "daemon/host/fixed_text.h"

#include <gtest/gtest.h>

#include <string_view>

namespace {

using rtd::host::fixed_text;

TEST(fixed_text, appends) {
  char buffer[200];
  fixed_text text(buffer, sizeof buffer);
  text.append("a ");
  text.append_number(0);
  text.append(" ");
  text.append_number(UINT64_MAX);
  text.append(" ");
  text.append_hex(0);
  text.append(" ");
  text.append_hex(0xdeadbeef);
  text.append(" ");
  text.append_escaped("q\"b\\n\n\x80", 100);
  text.append_escaped("cut here", 3);
  EXPECT_EQ(std::string_view(buffer, text.length()), "a 0 18446744073709551615 0x0 0xdeadbeef q\\\"b\\\\n??cut");
  EXPECT_FALSE(text.overflowed());
}

TEST(fixed_text, stays_within_its_buffer) {
  char buffer[8] = ".......";
  fixed_text text(buffer, 4);
  text.append("abcdef");
  EXPECT_TRUE(text.overflowed());
  EXPECT_EQ(std::string_view(buffer, 8), std::string_view("abcd...\0", 8));
  text.cut(2);
  EXPECT_FALSE(text.overflowed());
  text.append("x");
  EXPECT_EQ(std::string_view(buffer, text.length()), "abx");
}

}  // namespace
