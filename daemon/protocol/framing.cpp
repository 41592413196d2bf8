#include "daemon/protocol/framing.h"

#include <stdexcept>

namespace rtd::protocol {
namespace {

constexpr std::size_t prefix_bytes = 4;

// Drops the part of `buffer` that has been handed out, once that is worth the move.
void compact(std::string& buffer, std::size_t& start) {
  if (start == buffer.size()) {
    buffer.clear();
    // A peer that once sent a large message must not keep that memory for ever.
    if (buffer.capacity() > (64U << 10U)) buffer.shrink_to_fit();
    start = 0;
  } else if (start > (64U << 10U) && start > buffer.size() / 2) {
    buffer.erase(0, start);
    start = 0;
  }
}

}  // namespace

std::string encode_frame(std::string_view payload) {
  if (payload.size() > max_frame_bytes)
    throw std::length_error("a frame of " + std::to_string(payload.size()) + " bytes is larger than " +
                            std::to_string(max_frame_bytes));
  const auto length = static_cast<std::uint32_t>(payload.size());
  std::string result;
  result.reserve(prefix_bytes + payload.size());
  for (unsigned shift = 0; shift < 32; shift += 8) result.push_back(static_cast<char>((length >> shift) & 0xFFU));
  result += payload;
  return result;
}

void frame_decoder::feed(std::string_view bytes) {
  if (error_.empty()) buffer_.append(bytes);
}

std::optional<std::string> frame_decoder::next() {
  if (!error_.empty() || pending() < prefix_bytes) return std::nullopt;
  std::uint32_t length = 0;
  for (std::size_t i = 0; i < prefix_bytes; ++i)
    length |= static_cast<std::uint32_t>(static_cast<unsigned char>(buffer_[start_ + i])) << (8 * i);
  if (length > max_bytes_) {
    error_ = "a frame of " + std::to_string(length) + " bytes, more than " + std::to_string(max_bytes_);
    buffer_.clear();
    buffer_.shrink_to_fit();
    start_ = 0;
    return std::nullopt;
  }
  if (pending() < prefix_bytes + length) return std::nullopt;
  std::string payload = buffer_.substr(start_ + prefix_bytes, length);
  start_ += prefix_bytes + length;
  compact(buffer_, start_);
  return payload;
}

void line_decoder::feed(std::string_view bytes) {
  if (error_.empty()) buffer_.append(bytes);
}

std::optional<std::string> line_decoder::next() {
  if (!error_.empty()) return std::nullopt;
  const std::size_t end = buffer_.find('\n', scanned_);
  const std::size_t length = (end == std::string::npos ? buffer_.size() : end) - start_;
  if (length > max_bytes_) {
    error_ = "a line of more than " + std::to_string(max_bytes_) + " bytes";
    buffer_.clear();
    buffer_.shrink_to_fit();
    start_ = scanned_ = 0;
    return std::nullopt;
  }
  if (end == std::string::npos) {
    scanned_ = buffer_.size();
    return std::nullopt;
  }
  std::string line = buffer_.substr(start_, length);
  if (!line.empty() && line.back() == '\r') line.pop_back();
  start_ = end + 1;
  compact(buffer_, start_);
  scanned_ = start_;
  return line;
}

std::string line_decoder::rest() {
  std::string line = buffer_.substr(start_);
  buffer_.clear();
  start_ = scanned_ = 0;
  return line;
}

}  // namespace rtd::protocol
