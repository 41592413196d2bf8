#include "daemon/config/text.h"

#include <algorithm>
#include <cstdint>

#include "daemon/protocol/text.h"

namespace rtd::config {
namespace {

std::uint8_t byte_at(std::string_view text, std::size_t offset) noexcept {
  return static_cast<std::uint8_t>(text[offset]);
}

}  // namespace

character decode(std::string_view text, std::size_t offset) noexcept {
  const std::uint8_t first = byte_at(text, offset);
  if (first < 0x80) return {first, 1, true};
  const character bad{first, 1, false};
  std::size_t length = 0;
  char32_t code = 0;
  char32_t least = 0;
  if ((first & 0xe0) == 0xc0) {
    length = 2, code = first & 0x1f, least = 0x80;
  } else if ((first & 0xf0) == 0xe0) {
    length = 3, code = first & 0x0f, least = 0x800;
  } else if ((first & 0xf8) == 0xf0) {
    length = 4, code = first & 0x07, least = 0x10000;
  } else {
    return bad;
  }
  if (text.size() - offset < length) return bad;
  for (std::size_t i = 1; i < length; ++i) {
    const std::uint8_t next = byte_at(text, offset + i);
    if ((next & 0xc0) != 0x80) return bad;
    code = (code << 6) | (next & 0x3f);
  }
  if (code < least || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return bad;
  return {code, length, true};
}

std::optional<std::size_t> first_invalid_utf8(std::string_view text) noexcept {
  for (std::size_t offset = 0; offset < text.size();) {
    const character c = decode(text, offset);
    if (!c.valid) return offset;
    offset += c.length;
  }
  return std::nullopt;
}

place place_counter::advance_to(std::size_t offset) noexcept {
  const std::size_t end = std::min(offset, text_.size());
  while (offset_ < end) {
    const character c = decode(text_, offset_);
    if (offset_ + c.length > end) break;
    offset_ += c.length;
    if (c.code == '\n') {
      ++at_.line;
      at_.column = 1;
    } else {
      ++at_.column;
    }
  }
  return at_;
}

std::string in_quotes(std::string_view text, std::size_t most_bytes) {
  std::string escaped;
  for (const char c : text.substr(0, most_bytes + 1)) {
    if (c == '"' || c == '\\') escaped += '\\';
    escaped += c;
  }
  return '"' + protocol::clean_text(escaped, most_bytes) + '"';
}

}  // namespace rtd::config
