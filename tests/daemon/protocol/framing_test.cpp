#include "daemon/protocol/framing.h"

#include <gtest/gtest.h>

#include <stdexcept>
#include <vector>

#include "random_source.h"

namespace rtd::protocol {
namespace {

TEST(frames, one_byte_at_a_time) {
  const std::vector<std::string> payloads = {"", "a", std::string(1000, 'x'), "{\"id\":1}", std::string("\0\n\r", 3)};
  std::string stream;
  for (const auto& payload : payloads) stream += encode_frame(payload);
  frame_decoder decoder;
  std::vector<std::string> seen;
  for (char byte : stream) {
    decoder.feed({&byte, 1});
    while (auto frame = decoder.next()) seen.push_back(*frame);
  }
  EXPECT_EQ(seen, payloads);
  EXPECT_EQ(decoder.pending(), 0u);
  EXPECT_EQ(decoder.error(), "");
}

TEST(frames, length_is_little_endian) {
  EXPECT_EQ(encode_frame(std::string(0x0102, 'x')).substr(0, 4), std::string("\x02\x01\0\0", 4));
}

TEST(frames, many_in_one_piece) {
  std::string stream;
  for (int i = 0; i < 10'000; ++i) stream += encode_frame(std::to_string(i));
  frame_decoder decoder;
  decoder.feed(stream);
  for (int i = 0; i < 10'000; ++i) EXPECT_EQ(decoder.next(), std::to_string(i));
  EXPECT_EQ(decoder.next(), std::nullopt);
}

TEST(frames, too_large_is_refused_before_its_bytes_come) {
  frame_decoder decoder;
  decoder.feed(std::string("\xff\xff\xff\xff", 4));
  EXPECT_EQ(decoder.next(), std::nullopt);
  EXPECT_NE(decoder.error().find("4294967295"), std::string::npos) << decoder.error();
  decoder.feed(encode_frame("good"));
  EXPECT_EQ(decoder.next(), std::nullopt) << "a broken stream stays broken";
  EXPECT_EQ(decoder.pending(), 0u);
}

TEST(frames, the_largest_fits) {
  frame_decoder decoder;
  const std::string largest(max_frame_bytes, 'z');
  decoder.feed(encode_frame(largest));
  EXPECT_EQ(decoder.next(), largest);
  EXPECT_THROW(encode_frame(largest + "z"), std::length_error);
}

TEST(frames, random_cuts_give_the_same_frames) {
  auto random = test::seeded_random();
  for (int round = 0; round < 50; ++round) {
    std::vector<std::string> payloads;
    std::string stream;
    for (std::size_t i = 0, n = random() % 20; i < n; ++i) {
      payloads.push_back(test::random_bytes(random, random() % 200'000));
      stream += encode_frame(payloads.back());
    }
    frame_decoder decoder;
    std::vector<std::string> seen;
    for (std::size_t at = 0; at < stream.size();) {
      const std::size_t piece = std::min<std::size_t>(stream.size() - at, 1 + random() % 100'000);
      decoder.feed(std::string_view(stream).substr(at, piece));
      while (auto frame = decoder.next()) seen.push_back(*frame);
      at += piece;
    }
    ASSERT_EQ(seen, payloads);
  }
}

TEST(frames, garbage_never_holds_more_than_the_limit) {
  auto random = test::seeded_random();
  for (int round = 0; round < 200; ++round) {
    frame_decoder decoder(4096);
    for (int piece = 0; piece < 20; ++piece) {
      decoder.feed(test::random_bytes(random, random() % 1000));
      while (decoder.next()) {
      }
      ASSERT_LE(decoder.pending(), 4096u + 4u);
    }
  }
}

TEST(lines, one_byte_at_a_time) {
  line_decoder decoder;
  std::vector<std::string> seen;
  for (char byte : std::string("one\n\ntwo\r\nthree")) {
    decoder.feed({&byte, 1});
    while (auto line = decoder.next()) seen.push_back(*line);
  }
  EXPECT_EQ(seen, (std::vector<std::string>{"one", "", "two"}));
  EXPECT_EQ(decoder.pending(), 5u);
  EXPECT_EQ(decoder.rest(), "three");
  EXPECT_EQ(decoder.pending(), 0u);
}

TEST(lines, too_long_with_and_without_its_end) {
  for (const std::string& text : {std::string(101, 'x'), std::string(101, 'x') + "\n"}) {
    line_decoder decoder(100);
    decoder.feed(text);
    EXPECT_EQ(decoder.next(), std::nullopt);
    EXPECT_NE(decoder.error(), "");
    decoder.feed("good\n");
    EXPECT_EQ(decoder.next(), std::nullopt);
  }
  line_decoder decoder(100);
  decoder.feed(std::string(100, 'x') + "\n");
  EXPECT_EQ(decoder.next(), std::string(100, 'x'));
}

TEST(lines, random_cuts_give_the_same_lines) {
  auto random = test::seeded_random();
  for (int round = 0; round < 100; ++round) {
    std::vector<std::string> lines;
    std::string stream;
    for (std::size_t i = 0, n = random() % 30; i < n; ++i) {
      lines.emplace_back(random() % 5000, static_cast<char>('a' + random() % 26));
      stream += lines.back() + "\n";
    }
    line_decoder decoder;
    std::vector<std::string> seen;
    for (std::size_t at = 0; at < stream.size();) {
      const std::size_t piece = std::min<std::size_t>(stream.size() - at, 1 + random() % 7000);
      decoder.feed(std::string_view(stream).substr(at, piece));
      while (auto line = decoder.next()) seen.push_back(*line);
      at += piece;
    }
    ASSERT_EQ(seen, lines);
  }
}

}  // namespace
}  // namespace rtd::protocol
