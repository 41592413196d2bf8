#include "daemon/protocol/base64.h"

#include <gtest/gtest.h>

namespace {

using namespace rtd::protocol;

// The vectors of RFC 4648, section 10.
TEST(base64, is_that_of_the_rfc) {
  for (const auto& [bytes, text] : {std::pair{"", ""},
                                    {"f", "Zg=="},
                                    {"fo", "Zm8="},
                                    {"foo", "Zm9v"},
                                    {"foob", "Zm9vYg=="},
                                    {"fooba", "Zm9vYmE="},
                                    {"foobar", "Zm9vYmFy"}}) {
    EXPECT_EQ(to_base64(bytes), text);
    EXPECT_EQ(from_base64(text), bytes);
  }
}

TEST(base64, takes_all_bytes_there_and_back) {
  std::string all;
  for (int i = 0; i < 1000; ++i) {
    EXPECT_EQ(from_base64(to_base64(all)), all) << i;
    all += static_cast<char>(i * 7);
  }
}

TEST(base64, refuses_what_it_does_not_write) {
  for (const char* text :
       {"Z", "Zg", "Zg=", "Zg===", "=", "====", "Zh==", "Zm9=", "Zm 9", "Zm9v\n", "Zm-_", "Z=g=", "Zg==Zg=="}) {
    EXPECT_EQ(from_base64(text), std::nullopt) << text;
    EXPECT_FALSE(is_base64(text)) << text;
  }
}

}  // namespace
