#include "runtime/task/printable_text.h"

#include <cstdint>

namespace rt::detail {

namespace {

constexpr std::string_view cut_mark = "\xE2\x80\xA6";

// Length of the well-formed UTF-8 sequence at the beginning of `text`, 0 when there is none. Overlong forms, surrogates
// and values above U+10FFFF are not well-formed.
std::size_t sequence_length(std::string_view text) noexcept {
  auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  auto continues = [&](std::size_t i) { return i < text.size() && (byte(i) & 0xC0) == 0x80; };
  unsigned char first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF) return continues(1) ? 2 : 0;
  if (first >= 0xE0 && first <= 0xEF) {
    if (!continues(1) || !continues(2)) return 0;
    if (first == 0xE0 && byte(1) < 0xA0) return 0;
    if (first == 0xED && byte(1) > 0x9F) return 0;
    return 3;
  }
  if (first >= 0xF0 && first <= 0xF4) {
    if (!continues(1) || !continues(2) || !continues(3)) return 0;
    if (first == 0xF0 && byte(1) < 0x90) return 0;
    if (first == 0xF4 && byte(1) > 0x8F) return 0;
    return 4;
  }
  return 0;
}

bool is_c1_control(std::string_view sequence) noexcept {
  return sequence.size() == 2 && static_cast<unsigned char>(sequence[0]) == 0xC2 &&
         static_cast<unsigned char>(sequence[1]) < 0xA0;
}

void append_escaped(std::string& to, char character) {
  switch (character) {
    case '\t':
      to += "\\t";
      return;
    case '\n':
      to += "\\n";
      return;
    case '\r':
      to += "\\r";
      return;
    default:
      break;
  }
  constexpr char digits[] = "0123456789abcdef";
  auto value = static_cast<std::uint8_t>(character);
  to += "\\x";
  to += digits[value >> 4];
  to += digits[value & 15];
}

}  // namespace

std::string printable_text(std::string_view text, std::size_t most_bytes) {
  std::string result;
  result.reserve(text.size() < most_bytes ? text.size() : most_bytes);
  std::size_t fits = 0;  // the length up to which a cut mark could still follow
  while (!text.empty()) {
    std::size_t length = sequence_length(text);
    std::string_view sequence = text.substr(0, length == 0 ? 1 : length);
    auto first = static_cast<unsigned char>(sequence[0]);
    if (length == 0 || first < 0x20 || first == 0x7F || is_c1_control(sequence)) {
      for (char character : sequence) append_escaped(result, character);
    } else {
      result += sequence;
    }
    if (result.size() > most_bytes) {
      result.resize(fits);
      if (fits + cut_mark.size() <= most_bytes) result += cut_mark;
      return result;
    }
    if (result.size() + cut_mark.size() <= most_bytes) fits = result.size();
    text.remove_prefix(sequence.size());
  }
  return result;
}

}  // namespace rt::detail
