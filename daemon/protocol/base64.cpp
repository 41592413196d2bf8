#include "daemon/protocol/base64.h"

#include <array>
#include <cstdint>

namespace rtd::protocol {

namespace {

constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::uint8_t no_digit = 64;

constexpr std::array<std::uint8_t, 256> values = [] {
  std::array<std::uint8_t, 256> made{};
  made.fill(no_digit);
  for (std::size_t i = 0; i < digits.size(); ++i) {
    made[static_cast<unsigned char>(digits[i])] = static_cast<std::uint8_t>(i);
  }
  return made;
}();

std::uint32_t value_of(char digit) noexcept { return values[static_cast<unsigned char>(digit)]; }

// How many '=' stand at the end; of more than two the others are found to be no digits.
std::size_t padding_of(std::string_view text) noexcept {
  if (text.ends_with("==")) return 2;
  return text.ends_with('=') ? 1 : 0;
}

}  // namespace

std::string to_base64(std::string_view bytes) {
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t count = bytes.size() - i < 3 ? bytes.size() - i : 3;
    std::uint32_t group = 0;
    for (std::size_t k = 0; k < 3; ++k) {
      group = (group << 8) | (k < count ? static_cast<unsigned char>(bytes[i + k]) : 0U);
    }
    for (std::size_t k = 0; k < 4; ++k) {
      text += k <= count ? digits[(group >> (18 - 6 * k)) & 63] : '=';
    }
  }
  return text;
}

bool is_base64(std::string_view text) noexcept {
  if (text.size() % 4 != 0) return false;
  const std::size_t padding = padding_of(text);
  text.remove_suffix(padding);
  for (const char one : text) {
    if (value_of(one) == no_digit) return false;
  }
  // The bits of the last digit that belong to no byte.
  const std::uint32_t spare = padding == 2 ? 15 : padding == 1 ? 3 : 0;
  return text.empty() ? padding == 0 : (value_of(text.back()) & spare) == 0;
}

std::optional<std::string> from_base64(std::string_view text) {
  if (!is_base64(text)) return std::nullopt;
  text.remove_suffix(padding_of(text));
  std::string bytes;
  bytes.reserve(text.size() * 3 / 4);
  std::uint32_t bits = 0;
  int count = 0;
  for (const char one : text) {
    bits = (bits << 6) | value_of(one);
    count += 6;
    if (count >= 8) {
      count -= 8;
      bytes += static_cast<char>((bits >> count) & 255);
    }
  }
  return bytes;
}

}  // namespace rtd::protocol
