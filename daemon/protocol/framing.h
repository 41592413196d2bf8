// Cutting a byte stream into messages: length-prefixed frames on the supervisor-host link, lines on the control socket.
//
// Both decoders are fed whatever arrived and hand out whole messages; neither ever holds more than its limit plus what
// was fed last. Once a decoder has failed it stays failed: the stream has lost its boundaries.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace rtd::protocol {

/// The largest frame on the link, and the longest line on the control socket, in bytes (without length and newline).
inline constexpr std::size_t max_frame_bytes = 8U << 20U;
inline constexpr std::size_t max_line_bytes = 1U << 20U;

/// One frame: the length as four bytes, least significant first, then the payload.
/// @throws std::length_error when the payload is larger than max_frame_bytes.
std::string encode_frame(std::string_view payload);

class frame_decoder {
 public:
  explicit frame_decoder(std::size_t max_bytes = max_frame_bytes) : max_bytes_(max_bytes) {}

  /// Adds bytes from the stream. After a failure they are dropped.
  void feed(std::string_view bytes);
  /// The next whole frame's payload, or nothing (more bytes are needed, or the stream is broken).
  std::optional<std::string> next();
  /// What is wrong with the stream; empty while it is good.
  const std::string& error() const noexcept { return error_; }
  /// Bytes held back for the frame that is not whole yet.
  std::size_t pending() const noexcept { return buffer_.size() - start_; }

 private:
  std::size_t max_bytes_;
  std::string buffer_;
  std::size_t start_ = 0;
  std::string error_;
};

class line_decoder {
 public:
  explicit line_decoder(std::size_t max_bytes = max_line_bytes) : max_bytes_(max_bytes) {}

  void feed(std::string_view bytes);
  /// The next whole line without its newline (and without a carriage return before it), or nothing.
  std::optional<std::string> next();
  const std::string& error() const noexcept { return error_; }
  std::size_t pending() const noexcept { return buffer_.size() - start_; }
  /// What is held back at the end of the stream: a last line without a newline.
  std::string rest();

 private:
  std::size_t max_bytes_;
  std::string buffer_;
  std::size_t start_ = 0;
  std::size_t scanned_ = 0;  // up to here there is no newline, so a long line is not searched again for each byte
  std::string error_;
};

}  // namespace rtd::protocol
