// Socket addresses and their texts.
#include "runtime/net/socket_address.h"

#include <gtest/gtest.h>

#include <cstring>

namespace rt::net::detail {
namespace {

TEST(socket_address, digits_and_back) {
  EXPECT_EQ(socket_address::from_digits("127.0.0.1", 80)->text(), "127.0.0.1:80");
  EXPECT_EQ(socket_address::from_digits("::1", 65535)->text(), "[::1]:65535");
  EXPECT_EQ(socket_address::from_digits("2001:db8:0:0:0:0:0:1", 1)->text(), "[2001:db8::1]:1");
  EXPECT_EQ(socket_address::from_digits("::ffff:10.1.2.3", 7)->text(), "10.1.2.3:7");
  EXPECT_EQ(socket_address::from_digits("fe80::1%lo", 7)->text(), "[fe80::1%lo]:7");
  EXPECT_EQ(socket_address::from_digits("fe80::1%4000000", 7)->text(), "[fe80::1%4000000]:7");
}

TEST(socket_address, what_are_no_digits) {
  for (const char* host :
       {"", "localhost", "127.1", "1.2.3.4.5", "256.0.0.1", "::1%", "::1%nosuchzone", ":::", "1:2"}) {
    EXPECT_FALSE(socket_address::from_digits(host, 1).has_value()) << host;
  }
}

TEST(socket_address, unix_paths) {
  EXPECT_EQ(socket_address::from_path("/run/x.sock")->text(), "/run/x.sock");
  EXPECT_EQ(socket_address::from_path("@name")->text(), "@name");
  EXPECT_EQ(socket_address::from_path(std::string_view("@a\0b", 4))->text(), std::string("@a\0b", 4));
  EXPECT_TRUE(socket_address::from_path(std::string(107, 'x')).has_value());
  EXPECT_EQ(socket_address::from_path(std::string(107, 'x'))->text().size(), 107u);
  EXPECT_FALSE(socket_address::from_path(std::string(108, 'x')).has_value());
  EXPECT_FALSE(socket_address::from_path("").has_value());
  sockaddr_un unnamed{};
  unnamed.sun_family = AF_UNIX;
  EXPECT_EQ(socket_address(reinterpret_cast<sockaddr*>(&unnamed), sizeof(sa_family_t)).text(), "");
  // The kernel may fill the whole field without a null character at its end.
  std::memset(unnamed.sun_path, 'y', sizeof unnamed.sun_path);
  EXPECT_EQ(socket_address(reinterpret_cast<sockaddr*>(&unnamed), sizeof unnamed).text(), std::string(108, 'y'));
}

TEST(socket_address, none_is_empty) {
  EXPECT_EQ(socket_address().text(), "");
  EXPECT_EQ(socket_address().family(), AF_UNSPEC);
  EXPECT_FALSE(socket_address().is_unspecified());
}

TEST(socket_address, any_and_loopback) {
  EXPECT_EQ(socket_address::any(AF_INET, 1).text(), "0.0.0.0:1");
  EXPECT_EQ(socket_address::any(AF_INET6, 1).text(), "[::]:1");
  EXPECT_TRUE(socket_address::any(AF_INET, 1).is_unspecified());
  EXPECT_TRUE(socket_address::any(AF_INET6, 1).is_unspecified());
  EXPECT_EQ(socket_address::loopback(AF_INET, 2).text(), "127.0.0.1:2");
  EXPECT_EQ(socket_address::loopback(AF_INET6, 2).text(), "[::1]:2");
  EXPECT_FALSE(socket_address::loopback(AF_INET, 2).is_unspecified());
}

TEST(socket_address, equal_by_value) {
  EXPECT_TRUE(socket_address::loopback(AF_INET, 2) == *socket_address::from_digits("127.0.0.1", 2));
  EXPECT_FALSE(socket_address::loopback(AF_INET, 2) == socket_address::loopback(AF_INET, 3));
  EXPECT_FALSE(socket_address::loopback(AF_INET, 2) == socket_address::loopback(AF_INET6, 2));
}

}  // namespace
}  // namespace rt::net::detail
