// Decoding of targets, content negotiation, addresses to listen on.
#include "daemon/http/message.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/un.h>

#include <cerrno>

#include "daemon/http/compression.h"
#include "daemon/http/listening.h"
#include "tests/daemon/http/server_fixture.h"

namespace rtd::http::test {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

TEST(percent_decode, decodes_and_refuses) {
  EXPECT_EQ(percent_decode("/a%2Fb+c", false), "/a/b+c");
  EXPECT_EQ(percent_decode("a+b%2b", true), "a b+");
  EXPECT_EQ(percent_decode("", false), "");
  for (const char* wrong : {"%", "%4", "%g1", "a%00b", "%%41"})
    EXPECT_EQ(percent_decode(wrong, false), std::nullopt) << wrong;
}

TEST(parse_query, splits) {
  EXPECT_THAT(parse_query("a=1&verbose&b=x%3Dy=z&&=e&c=%zz"),
              ElementsAre(Pair("a", "1"), Pair("verbose", ""), Pair("b", "x=y=z"), Pair("", "e"), Pair("c", "%zz")));
  EXPECT_TRUE(parse_query("").empty());
}

TEST(accepts_gzip, weighs) {
  for (const char* yes : {"gzip", "GZIP", "deflate, gzip", "gzip;q=0.001", "gzip ; q=1.0", "*", "br;q=1,*;q=0.1",
                          "x-gzip", "identity;q=0.5, gzip;q=0.5"}) {
    EXPECT_TRUE(accepts_gzip(yes)) << yes;
  }
  for (const char* no : {"", "identity", "gzip;q=0", "gzip;q=0.000", "br", "*;q=0", "gzip;q=0, *", "gzip;level=9",
                         "gzip;q=x", "identity, gzip;q=0.5", "gzipped"}) {
    EXPECT_FALSE(accepts_gzip(no)) << no;
  }
}

namespace {

std::string failure_of(std::string_view address) {
  try {
    ::close(open_listener(address));
  } catch (const listen_error& error) {
    return error.what();
  }
  return "none";
}

}  // namespace

TEST(listening, errors_name_the_address_and_the_remedy) {
  EXPECT_EQ(failure_of("127.0.0.1"),
            "cannot listen on 127.0.0.1: the port is missing (write it as ADDRESS:PORT, e.g. "
            "127.0.0.1:9180 or [::1]:9180)");
  EXPECT_THAT(failure_of("127.0.0.1:http"), HasSubstr("\"http\" is no port number from 0 to 65535"));
  EXPECT_THAT(failure_of("127.0.0.1:65536"), HasSubstr("\"65536\" is no port number"));
  EXPECT_THAT(failure_of("127.0.0.1:-1"), HasSubstr("no port number"));
  EXPECT_THAT(failure_of("127.0.0.1:"), HasSubstr("no port number"));
  EXPECT_THAT(failure_of("::1:80"), HasSubstr("must stand in brackets"));
  EXPECT_THAT(failure_of("[::1:80"), HasSubstr("bracket"));
  EXPECT_THAT(failure_of("example.org:80"), HasSubstr("\"example.org\" is no IP address (names other than localhost"));
  EXPECT_THAT(failure_of(":80"), HasSubstr("0.0.0.0 and [::] stand for all interfaces"));
  EXPECT_THAT(failure_of("192.0.2.1:0"), HasSubstr("no network interface of this machine has this address"));
}

TEST(listening, a_port_in_use_is_said_so) {
  const int taken = open_listener("127.0.0.1:0");
  const std::string address = local_address(taken);
  const std::string why = failure_of(address);
  EXPECT_THAT(why, HasSubstr("cannot listen on " + address + ": Address already in use"));
  EXPECT_THAT(why, HasSubstr("set http.listen to another address"));
  ::close(taken);
}

TEST(listening, sockets_do_not_leak_into_children) {
  for (const char* address : {"127.0.0.1:0", "localhost:0", "0.0.0.0:0"}) {
    const int descriptor = open_listener(address);
    EXPECT_TRUE(::fcntl(descriptor, F_GETFD) & FD_CLOEXEC) << address;
    EXPECT_TRUE(::fcntl(descriptor, F_GETFL) & O_NONBLOCK) << address;
    ::close(descriptor);
  }
}

TEST_F(server_test, accepted_sockets_do_not_leak_into_children) {
  begin();
  client one(port_);
  one.ask(get("/hello"));
  int found = 0;
  for (int descriptor = 3; descriptor < 1000; ++descriptor) {
    const int flags = ::fcntl(descriptor, F_GETFD);
    if (flags < 0) continue;
    sockaddr_storage peer{};
    socklen_t size = sizeof(peer);
    if (::getpeername(descriptor, reinterpret_cast<sockaddr*>(&peer), &size) != 0 || descriptor == one.descriptor())
      continue;
    if (peer.ss_family != AF_INET) continue;
    ++found;
    EXPECT_TRUE(flags & FD_CLOEXEC);
  }
  EXPECT_EQ(found, 1);
}

TEST_F(server_test, listens_on_ipv6_where_there_is_any) {
  begin();
  std::string address;
  try {
    address = on_loop([this] {
      server_->listen("[::1]:0");
      return server_->addresses().at(1);
    });
  } catch (const listen_error& error) {
    GTEST_SKIP() << error.what();
  }
  EXPECT_TRUE(address.starts_with("[::1]:")) << address;
  sockaddr_in6 where{};
  where.sin6_family = AF_INET6;
  where.sin6_addr = in6addr_loopback;
  where.sin6_port = htons(static_cast<std::uint16_t>(std::stoi(address.substr(6))));
  const int descriptor = ::socket(AF_INET6, SOCK_STREAM, 0);
  ASSERT_EQ(::connect(descriptor, reinterpret_cast<sockaddr*>(&where), sizeof(where)), 0);
  const std::string request = get("/hello", "Connection: close\r\n");
  ASSERT_EQ(::send(descriptor, request.data(), request.size(), 0), static_cast<ssize_t>(request.size()));
  char buffer[64] = "";
  EXPECT_GT(::recv(descriptor, buffer, sizeof(buffer) - 1, 0), 0);
  EXPECT_TRUE(std::string(buffer).starts_with("HTTP/1.1 200"));
  ::close(descriptor);
}

TEST_F(server_test, takes_over_a_listening_socket_and_no_other) {
  begin();
  const int ready = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in where{};
  where.sin_family = AF_INET;
  where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(::bind(ready, reinterpret_cast<sockaddr*>(&where), sizeof(where)), 0);
  ASSERT_EQ(::listen(ready, 16), 0);
  const std::string address = on_loop([&] {
    server_->adopt(ready);
    return server_->addresses().at(1);
  });
  EXPECT_TRUE(::fcntl(ready, F_GETFD) & FD_CLOEXEC);
  client one(std::stoi(address.substr(address.rfind(':') + 1)));
  EXPECT_EQ(status_of(one.ask(get("/hello"))), 200);

  const auto refused = [this](int descriptor) {
    return on_loop([this, descriptor]() -> std::string {
      try {
        server_->adopt(descriptor);
      } catch (const listen_error& error) {
        return error.what();
      }
      return "none";
    });
  };
  const int deaf = ::socket(AF_INET, SOCK_STREAM, 0);
  EXPECT_THAT(refused(deaf), HasSubstr("it does not listen"));
  EXPECT_EQ(::fcntl(deaf, F_GETFD), -1) << "a refused descriptor is closed";
  EXPECT_THAT(refused(::socket(AF_INET, SOCK_DGRAM, 0)), HasSubstr("it is no TCP socket"));
  EXPECT_THAT(refused(::socket(AF_UNIX, SOCK_STREAM, 0)), HasSubstr("it is no TCP socket"));
  EXPECT_THAT(refused(::open("/dev/null", O_RDONLY)), HasSubstr("cannot listen on descriptor"));
}

}  // namespace rtd::http::test
