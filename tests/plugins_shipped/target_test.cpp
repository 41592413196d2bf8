#include "plugins/prober/target.h"

#include <gtest/gtest.h>
#include <rt/task.h>

namespace {

using prober::parse_target;
using prober::scheme;
using prober::target;

std::string refusal(std::string_view text) {
  try {
    target one = parse_target(text);
    return "accepted: " + one.address + " " + one.path;
  } catch (const rt::bad_parameter& error) {
    return error.what();
  }
}

TEST(target_test, tcp) {
  target one = parse_target("tcp://db.example:5432");
  EXPECT_EQ(one.kind, scheme::tcp);
  EXPECT_EQ(one.text, "tcp://db.example:5432");
  EXPECT_EQ(one.address, "db.example:5432");
  EXPECT_EQ(parse_target("tcp://[::1]:22").address, "[::1]:22");
  EXPECT_EQ(parse_target("TCP://Db-1.Example:1").address, "db-1.example:1");
  EXPECT_EQ(parse_target("tcp://192.0.2.7:65535").address, "192.0.2.7:65535");
}

TEST(target_test, http) {
  struct {
    const char* text;
    const char* address;
    const char* host_header;
    const char* path;
  } cases[] = {
      {"http://web.example", "web.example:80", "web.example", "/"},
      {"http://web.example/", "web.example:80", "web.example", "/"},
      {"http://web.example:80/a", "web.example:80", "web.example", "/a"},
      {"http://web.example:8080/a/b?c=d&e=:@/f", "web.example:8080", "web.example:8080", "/a/b?c=d&e=:@/f"},
      {"http://web.example?x=1", "web.example:80", "web.example", "/?x=1"},
      {"http://[::1]", "[::1]:80", "[::1]", "/"},
      {"http://[2001:DB8::7]:81/x", "[2001:db8::7]:81", "[2001:db8::7]:81", "/x"},
      {"http://[fe80::1%eth0]:81/", "[fe80::1%eth0]:81", "[fe80::1]:81", "/"},
      {"HTTP://under_score.example/Case", "under_score.example:80", "under_score.example", "/Case"},
  };
  for (const auto& each : cases) {
    SCOPED_TRACE(each.text);
    target one = parse_target(each.text);
    EXPECT_EQ(one.kind, scheme::http);
    EXPECT_EQ(one.text, each.text);
    EXPECT_EQ(one.address, each.address);
    EXPECT_EQ(one.host_header, each.host_header);
    EXPECT_EQ(one.path, each.path);
  }
}

TEST(target_test, refusals_name_the_parameter_the_text_and_the_remedy) {
  EXPECT_EQ(refusal("db.example:5432"),
            "parameter \"targets\" has \"db.example:5432\": the scheme is missing; "
            "write \"tcp://host:port\" or \"http://host:port/path\"");
  struct {
    std::string text;
    const char* wrong;
  } cases[] = {
      {"", "it is empty"},
      {"ftp://host:21", "\"ftp\" is no scheme that can be probed"},
      {"https://host/", "probe the port alone with \"tcp://host:443\""},
      {"://host:1", "\"\" is no scheme"},
      {"tcp://", "the host is missing"},
      {"tcp://:80", "the host is missing"},
      {"http:///path", "the host is missing"},
      {"tcp://host", "the port is missing"},
      {"tcp://host:", "\"\" is no port"},
      {"tcp://host:0", "\"0\" is no port"},
      {"tcp://host:65536", "\"65536\" is no port"},
      {"tcp://host:-1", "\"-1\" is no port"},
      {"tcp://host:80x", "\"80x\" is no port"},
      {"http://host:99999999999999999999/", "is no port"},
      {"tcp://host:80/", "a tcp target has no path"},
      {"tcp://host:80?x", "a tcp target has no path"},
      {"tcp://::1:80", "put an IPv6 address in brackets"},
      {"http://::1/", "put an IPv6 address in brackets"},
      {"tcp://[::1:80", "the bracket is not closed"},
      {"tcp://[]:80", "is no IPv6 address"},
      {"tcp://[host]:80", "\"host\" is no IPv6 address"},
      {"tcp://[::g]:80", "\"::g\" is no IPv6 address"},
      {"tcp://[::1]80", "a colon is missing after the bracket"},
      {"tcp://[::1]", "the port is missing"},
      {"tcp://300.1.1.1:80", "\"300.1.1.1\" is no IPv4 address"},
      {"tcp://127.1:80", "\"127.1\" is no IPv4 address"},
      {"tcp://a host:80", "a blank"},
      {"http://host/a b", "write %20"},
      {"http://host/a\nb", "a blank"},
      {"http://h\xc3\xb6st/", "not ASCII"},
      {"tcp://ho*st:80", "a host's name has no '*'"},
      {"http://host/path#part", "never sent to a server"},
      {"http://host/" + std::string(300, 'x'), "312 bytes, more than 256"},
  };
  for (const auto& each : cases) {
    std::string said = refusal(each.text);
    EXPECT_NE(said.find(each.wrong), std::string::npos) << each.text << "\n" << said;
    EXPECT_EQ(said.find("parameter \"targets\" has \""), 0U) << said;
  }
}

TEST(target_test, the_longest_target_is_accepted) {
  std::string text = "http://host/";
  text.append(prober::longest_target - text.size(), 'x');
  EXPECT_EQ(parse_target(text).text, text);
  EXPECT_THROW(parse_target(text + "x"), rt::bad_parameter);
}

TEST(target_test, credentials_are_never_quoted) {
  for (const char* text : {"http://user:secret@host/", "https://user:secret@host/", "http://user:sec ret@host/",
                           "user:secret@host", "tcp://user:secret@"}) {
    std::string said = refusal(text);
    EXPECT_NE(said.find("leave out what stands before the @"), std::string::npos) << said;
    EXPECT_EQ(said.find("sec"), std::string::npos) << said;
  }
}

TEST(target_test, the_same_endpoint_twice) {
  EXPECT_EQ(prober::parse_targets({"tcp://h:80", "http://h:80/", "http://h/a", "http://h/b", "tcp://h:81"}).size(), 5U);
  for (const char* again : {"http://h", "http://H:80/", "HTTP://h/"}) {
    try {
      prober::parse_targets({"tcp://h:80", "http://h/", again});
      ADD_FAILURE() << again;
    } catch (const rt::bad_parameter& error) {
      EXPECT_NE(std::string(error.what()).find("the same endpoint as \"http://h/\""), std::string::npos)
          << error.what();
    }
  }
}

}  // namespace
