// kvcache's reader of requests: what it makes of good and bad ones, in whatever pieces they come.
#include "plugins/kvcache/request.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "tests/runtime/seeds.h"

namespace {

using kvcache::reading;
using kvcache::request;
using kvcache::request_reader;
using kvcache::verb;

constexpr std::size_t longest_value = 1000;

std::string text_of(const request& one) {
  static constexpr const char* names[] = {"get",     "gets",      "set",     "add",       "replace", "append",
                                          "prepend", "cas",       "delete",  "incr",      "decr",    "touch",
                                          "stats",   "flush_all", "version", "verbosity", "quit"};
  std::string text = names[static_cast<std::size_t>(one.what)];
  for (const std::string& key : one.keys) text += " " + key;
  text += " f" + std::to_string(one.flags) + " t" + std::to_string(one.time) + " n" + std::to_string(one.number);
  return text + (one.quiet ? " quiet " : " ") + std::to_string(one.value.size()) + ":" + one.value;
}

// All that is found in the bytes, if they come in pieces of the sizes that `next_size` gives.
template <class NextSize>
std::vector<std::string> read_all(std::string_view bytes, const NextSize& next_size) {
  request_reader reader(longest_value);
  std::vector<std::string> found;
  while (!bytes.empty()) {
    std::string piece(bytes.substr(0, next_size()));
    bytes.remove_prefix(piece.size());
    std::string_view rest = piece;
    while (!rest.empty()) {
      std::size_t before = rest.size();
      switch (reader.read(rest)) {
        case reading::more:
          EXPECT_TRUE(rest.empty());
          break;
        case reading::request:
          found.push_back(text_of(reader.found()));
          break;
        case reading::refused:
          found.push_back("! " + reader.refusal());
          if (reader.is_over()) return found;
          break;
      }
      if (rest.size() == before) {
        ADD_FAILURE() << "nothing was taken of \"" << rest << "\"";
        return found;
      }
    }
  }
  return found;
}

std::vector<std::string> read_at_once(std::string_view bytes) {
  return read_all(bytes, [&] { return bytes.size() + 1; });
}

TEST(kvcache_request, good_ones) {
  EXPECT_EQ(read_at_once("get a\r\nget a  bc d\r\ngets a\n"),
            (std::vector<std::string>{"get a f0 t0 n0 0:", "get a bc d f0 t0 n0 0:", "gets a f0 t0 n0 0:"}));
  EXPECT_EQ(read_at_once("set k 7 -1 5\r\nab\r\nc\r\nadd k 0 0 0 noreply\r\n\r\ncas k 1 2 1 99\r\nx\r\n"),
            (std::vector<std::string>{"set k f7 t-1 n0 5:ab\r\nc", "add k f0 t0 n0 quiet 0:", "cas k f1 t2 n99 1:x"}));
  EXPECT_EQ(read_at_once("delete k\r\ndelete k 0 noreply\r\nincr k 18446744073709551615\r\ntouch k 60\r\n"),
            (std::vector<std::string>{"delete k f0 t0 n0 0:", "delete k f0 t0 n0 quiet 0:",
                                      "incr k f0 t0 n18446744073709551615 0:", "touch k f0 t60 n0 0:"}));
  EXPECT_EQ(read_at_once("stats\r\nstats items\r\nflush_all\r\nflush_all 10 noreply\r\nversion\r\nquit\r\n"),
            (std::vector<std::string>{"stats f0 t0 n0 0:", "stats items f0 t0 n0 0:", "flush_all f0 t0 n0 0:",
                                      "flush_all f0 t10 n0 quiet 0:", "version f0 t0 n0 0:", "quit f0 t0 n0 0:"}));
}

TEST(kvcache_request, bad_ones_are_refused_and_the_next_one_is_read) {
  const std::string good = "version\r\n";
  const std::string read = "version f0 t0 n0 0:";
  for (const auto& [bad, said] : std::vector<std::pair<std::string, std::string>>{
           {"\r\n", "! ERROR\r\n"},
           {"GET a\r\n", "! ERROR\r\n"},
           {"get\r\n", "! ERROR\r\n"},
           {"set k 0 0\r\n", "! ERROR\r\n"},
           {"set k x 0 1\r\n", "! CLIENT_ERROR bad command line format\r\n"},
           {"set k 4294967296 0 1\r\n", "! CLIENT_ERROR bad command line format\r\n"},
           {"set k 0 0 -1\r\n", "! CLIENT_ERROR bad command line format\r\n"},
           {"set k 0 0 18446744073709551615\r\n", "! CLIENT_ERROR bad command line format\r\n"},
           {"incr k\r\n", "! ERROR\r\n"},
           {"incr k -1\r\n", "! CLIENT_ERROR invalid numeric delta argument\r\n"},
           {"touch k soon\r\n", "! CLIENT_ERROR invalid exptime argument\r\n"},
           {"delete k 5\r\n", "! CLIENT_ERROR bad command line format\r\n"},
           {"version of what\r\n", "! ERROR\r\n"},
           {"stats noreply\r\n", "! ERROR\r\n"},
           {"verbosity\r\n", "! ERROR\r\n"},
           {"flush_all now\r\n", "! CLIENT_ERROR bad command line format\r\n"},
           {"set k 0 0 1001\r\n" + std::string(1001, 'v') + "\r\n", "! SERVER_ERROR object too large for cache\r\n"},
           {"get " + std::string(251, 'k') + "\r\n", "! CLIENT_ERROR bad command line format\r\n"},
           {std::string("get a\0b\r\n", 9), "! CLIENT_ERROR bad command line format\r\n"},
       }) {
    EXPECT_EQ(read_at_once(bad + good), (std::vector<std::string>{said, read})) << bad;
  }
  EXPECT_EQ(read_at_once("set k 0 0 2\r\nabcd\r\n" + good),
            (std::vector<std::string>{"! CLIENT_ERROR bad data chunk\r\n", "! ERROR\r\n", read}));
  EXPECT_EQ(read_at_once("set k x 0 1 noreply\r\n" + good), (std::vector<std::string>{"! ", read}));
}

TEST(kvcache_request, a_line_without_end_is_given_up) {
  std::vector<std::string> found = read_all(std::string(100'000, 'x'), [] { return 1000; });
  EXPECT_EQ(found, (std::vector<std::string>{"! CLIENT_ERROR line too long\r\n"}));
}

// Words of the protocol and noise in random order: whatever comes, each byte is taken, and the pieces make no
// difference.
TEST(kvcache_request, pieces_of_any_size_give_the_same) {
  rt_test::seeds seeds;
  std::mt19937 random = seeds.source(0);
  const std::vector<std::string> words{
      "get",  "gets",  "set",   "add",       "replace", "cas",  "delete",  "incr",
      "decr", "touch", "stats", "flush_all", "version", "quit", "noreply", "key",
      "k2",   "0",     "1",     "5",         "-1",      "1000", "2000",    "99999999999999999999",
      "\r\n", "\r\n",  "\r\n",  "\n",        "\r",      "",     "abcde"};
  for (int round = 0; round < 300; ++round) {
    std::string bytes;
    for (int i = 0; i < 60; ++i) {
      if (random() % 10 == 0) {
        bytes += static_cast<char>(random() % 256);
      } else if (random() % 8 == 0) {
        std::size_t size = random() % 20;
        bytes += "set key 1 0 " + std::to_string(size) + "\r\n" + std::string(size, static_cast<char>(random() % 256)) +
                 (random() % 5 == 0 ? "x" : "\r\n");
      } else {
        bytes += words[random() % words.size()] + (random() % 4 == 0 ? "" : " ");
      }
    }
    std::vector<std::string> expected = read_at_once(bytes);
    EXPECT_EQ(read_all(bytes, [] { return 1; }), expected) << bytes;
    EXPECT_EQ(read_all(bytes, [&] { return random() % 7 + 1; }), expected) << bytes;
  }
}

}  // namespace
