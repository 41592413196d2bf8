// Listening: addresses, unix socket files, and messages that say what to do.
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <filesystem>
#include <fstream>

#include "tests/runtime/net/net_fixture.h"

namespace rt::net::testing {
namespace {

// listen does not wait for numeric addresses, so these need no green thread.
std::string message_of(std::string_view network, std::string_view address) {
  try {
    listen(network, address);
  } catch (const std::system_error& error) {
    return error.what();
  }
  return "no error";
}

TEST(listen, any_free_port_is_told) {
  listener from = listen("tcp4", "127.0.0.1:0");
  EXPECT_TRUE(from.address().starts_with("127.0.0.1:"));
  EXPECT_FALSE(from.address().ends_with(":0"));
  listener second = listen("tcp", "127.0.0.1:0");
  EXPECT_NE(from.address(), second.address());
}

TEST(listen, a_taken_port) {
  listener from = listen("tcp4", "127.0.0.1:0");
  EXPECT_EQ(message_of("tcp4", from.address()), "listen tcp4 " + from.address() + ": another socket listens on " +
                                                    from.address() + " (ss -tlnp shows which): Address already in use");
  std::error_code error;
  EXPECT_FALSE(listen("tcp4", from.address(), error));
  EXPECT_EQ(error, std::errc::address_in_use);
  std::string address = from.address();
  from.close();
  listener again = listen("tcp4", address);
  EXPECT_EQ(again.address(), address);
}

TEST(listen, an_address_of_another_machine) {
  EXPECT_EQ(message_of("tcp4", "203.0.113.1:0"),
            "listen tcp4 203.0.113.1:0: no interface of this machine has the address 203.0.113.1:0: Cannot assign "
            "requested address");
}

TEST(listen, all_addresses_by_network) {
  listener v4 = listen("tcp4", ":0");
  EXPECT_TRUE(v4.address().starts_with("0.0.0.0:"));
  std::error_code error;
  listener v6 = listen("tcp6", ":0", error);
  if (error) GTEST_SKIP() << "no IPv6 on this machine: " << error.message();
  EXPECT_TRUE(v6.address().starts_with("[::]:"));
  int only = 0;
  socklen_t length = sizeof only;
  getsockopt(v6.native_handle(), IPPROTO_IPV6, IPV6_V6ONLY, &only, &length);
  EXPECT_EQ(only, 1);
  listener both = listen("tcp", ":0");
  getsockopt(both.native_handle(), IPPROTO_IPV6, IPV6_V6ONLY, &only, &length);
  EXPECT_EQ(only, 0);
}

TEST(listen, unix_file_goes_away_with_the_listener) {
  scratch_folder folder;
  std::string path = folder.path("a.sock");
  listener from = listen("unix", path);
  EXPECT_EQ(from.address(), path);
  EXPECT_TRUE(std::filesystem::is_socket(path));
  from.close();
  EXPECT_FALSE(std::filesystem::exists(path));
  { listener last_handle = listen("unix", path); }
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(listen, unix_file_of_somebody_else_stays) {
  scratch_folder folder;
  std::string path = folder.path("a.sock");
  listener first = listen("unix", path);
  std::filesystem::rename(path, path + ".old");
  listener second = listen("unix", path);
  first.close();
  EXPECT_TRUE(std::filesystem::is_socket(path));
  second.close();
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(listen, unix_file_left_behind_is_named) {
  scratch_folder folder;
  std::string path = folder.path("stale.sock");
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  close(fd);  // the file stays, as after a crash
  EXPECT_EQ(message_of("unix", path),
            "listen unix " + path + ": the socket file " + path +
                " exists; if no process listens on it (ss -xl), remove it: Address already in "
                "use");
  EXPECT_TRUE(std::filesystem::is_socket(path));
}

TEST(listen, unix_path_in_the_way_or_missing) {
  scratch_folder folder;
  std::string path = folder.path("file");
  std::ofstream(path) << "x";
  EXPECT_EQ(message_of("unix", path), "listen unix " + path + ": " + path +
                                          " exists and is not a socket; move it away or choose another path: Address "
                                          "already in use");
  std::string missing = folder.path("no/such/folder.sock");
  EXPECT_EQ(message_of("unix", missing),
            "listen unix " + missing + ": the folder of " + missing + " does not exist: No such file or directory");
}

TEST(listen, bad_addresses_name_the_value_and_the_remedy) {
  std::pair<const char*, const char*> cases[] = {
      {"127.0.0.1", "\"127.0.0.1\": the port is missing; expected host:port, [IPv6 address]:port or :port"},
      {"", "\"\": the port is missing; expected host:port, [IPv6 address]:port or :port"},
      {"::1:80", "\"::1:80\": too many colons; an IPv6 address is written [address]:port"},
      {"[::1:80", "\"[::1:80\": the bracket is not closed before the port; expected [IPv6 address]:port"},
      {"[::1]", "\"[::1]\": the bracket is not closed before the port; expected [IPv6 address]:port"},
      {"[]:80", "\"[]:80\": nothing between the brackets; expected [IPv6 address]:port"},
      {"a]b:80", "\"a]b:80\": unexpected bracket"},
      {"[a[b]:80", "\"[a[b]:80\": unexpected bracket"},
      {"a b:80", "\"a b:80\": space or control character in the host"},
      {"127.0.0.1:", "\"127.0.0.1:\": the port must be a number from 0 to 65535"},
      {"127.0.0.1:http", "\"127.0.0.1:http\": the port must be a number from 0 to 65535"},
      {"127.0.0.1:65536", "\"127.0.0.1:65536\": the port must be a number from 0 to 65535"},
      {"127.0.0.1:-1", "\"127.0.0.1:-1\": the port must be a number from 0 to 65535"},
      {"127.0.0.1:80x", "\"127.0.0.1:80x\": the port must be a number from 0 to 65535"},
      {"[::1%nosuchzone]:80", "\"[::1%nosuchzone]:80\": not an IPv6 address (or its zone does not exist)"},
      {"[:::]:80", "\"[:::]:80\": not an IPv6 address (or its zone does not exist)"},
  };
  for (auto [address, expected] : cases) {
    EXPECT_EQ(message_of("tcp", address),
              std::string("listen tcp ") + address + ": " + expected + ": bad network address");
    std::error_code error;
    listen("tcp", address, error);
    EXPECT_EQ(error, errc::bad_address);
    EXPECT_EQ(error, std::errc::invalid_argument);
  }
  EXPECT_EQ(message_of("udp", ":80"),
            "listen udp :80: unknown network \"udp\"; expected tcp, tcp4, tcp6 or unix: bad network address");
  EXPECT_EQ(message_of("tcp4", "[::1]:0"),
            "listen tcp4 [::1]:0: \"[::1]:0\": network tcp4 needs an IPv4 address: bad network address");
  EXPECT_EQ(message_of("tcp6", "127.0.0.1:0"),
            "listen tcp6 127.0.0.1:0: \"127.0.0.1:0\": network tcp6 needs an IPv6 address: bad network address");
  EXPECT_EQ(message_of("unix", ""),
            "listen unix : \"\": the path of the unix socket is missing; expected /path or @name: bad network address");
  std::string lengthy(108, 'x');
  EXPECT_EQ(message_of("unix", lengthy), "listen unix " + lengthy + ": \"" + lengthy +
                                             "\": 108 characters are too long for a unix socket; at most 107: bad "
                                             "network address");
}

TEST(listen, every_error_has_a_text) {
  for (errc each :
       {errc::eof, errc::closed, errc::timed_out, errc::bad_address, errc::not_found, errc::lookup_failed}) {
    EXPECT_GT(make_error_code(each).message().size(), 10u);
  }
  EXPECT_EQ(std::error_code(99, category()).message(), "unknown network error 99");
  EXPECT_STREQ(category().name(), "rt.net");
}

}  // namespace
}  // namespace rt::net::testing
