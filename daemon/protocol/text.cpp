#include "daemon/protocol/text.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <vector>

namespace rtd::protocol {
namespace {

struct decoded {
  std::uint32_t code_point;  // U+FFFD when invalid
  std::size_t length;        // bytes taken, at least 1
  bool valid;
};

// One character from the front of `text` (not empty). Of a broken sequence it takes the longest part that could have
// been the start of a good one, as the Unicode standard recommends, so one bad byte never hides its neighbour.
decoded decode_one(std::string_view text) noexcept {
  auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return {first, 1, true};
  std::size_t wanted = 0;
  std::uint32_t value = 0;
  unsigned char low = 0x80;
  unsigned char high = 0xBF;
  if (first >= 0xC2 && first <= 0xDF) {
    wanted = 2;
    value = first & 0x1FU;
  } else if (first >= 0xE0 && first <= 0xEF) {
    wanted = 3;
    value = first & 0x0FU;
    if (first == 0xE0) low = 0xA0;
    if (first == 0xED) high = 0x9F;
  } else if (first >= 0xF0 && first <= 0xF4) {
    wanted = 4;
    value = first & 0x07U;
    if (first == 0xF0) low = 0x90;
    if (first == 0xF4) high = 0x8F;
  } else {
    return {0xFFFD, 1, false};
  }
  for (std::size_t i = 1; i < wanted; ++i) {
    if (i >= text.size() || byte(i) < low || byte(i) > high) return {0xFFFD, i, false};
    value = (value << 6) | (byte(i) & 0x3FU);
    low = 0x80;
    high = 0xBF;
  }
  return {value, wanted, true};
}

bool turns_direction(std::uint32_t c) noexcept {
  return (c >= 0x202A && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069) || c == 0x200E || c == 0x200F || c == 0x061C;
}

// How one character is shown; `raw` is its bytes.
std::string shown(const decoded& c, std::string_view raw) {
  char buffer[16];
  if (!c.valid) return "\xEF\xBF\xBD";
  switch (c.code_point) {
    case '\t':
      return "\t";
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    default:
      break;
  }
  if (c.code_point < 0x20 || (c.code_point >= 0x7F && c.code_point < 0xA0)) {
    std::snprintf(buffer, sizeof buffer, "\\x%02x", c.code_point);
    return buffer;
  }
  if (turns_direction(c.code_point) || c.code_point == 0x2028 || c.code_point == 0x2029) {
    std::snprintf(buffer, sizeof buffer, "\\u%04x", c.code_point);
    return buffer;
  }
  return std::string(raw);
}

}  // namespace

std::string clean_text(std::string_view raw, std::size_t max_bytes) {
  static constexpr std::string_view ellipsis = "…";
  const std::size_t room = max_bytes > ellipsis.size() ? max_bytes - ellipsis.size() : 0;
  std::string result;
  result.reserve(std::min(raw.size(), max_bytes));
  std::size_t cut_at = 0;  // the length up to which there is still room for the ellipsis
  while (!raw.empty()) {
    const decoded c = decode_one(raw);
    const std::string piece = shown(c, raw.substr(0, c.length));
    if (result.size() + piece.size() > max_bytes) {
      result.resize(cut_at);
      if (max_bytes >= ellipsis.size()) result += ellipsis;
      return result;
    }
    result += piece;
    if (result.size() <= room) cut_at = result.size();
    raw.remove_prefix(c.length);
  }
  return result;
}

bool is_utf8(std::string_view text) noexcept {
  while (!text.empty()) {
    const decoded c = decode_one(text);
    if (!c.valid) return false;
    text.remove_prefix(c.length);
  }
  return true;
}

bool is_name(std::string_view text) noexcept {
  auto lower = [](char c) { return c >= 'a' && c <= 'z'; };
  auto rest = [&](char c) { return lower(c) || (c >= '0' && c <= '9') || c == '_' || c == '-'; };
  return !text.empty() && text.size() <= max_name_bytes && lower(text.front()) && std::ranges::all_of(text, rest);
}

bool is_identifier(std::string_view text) noexcept {
  auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  auto rest = [&](char c) { return letter(c) || (c >= '0' && c <= '9'); };
  return !text.empty() && text.size() <= max_name_bytes && letter(text.front()) && std::ranges::all_of(text, rest);
}

std::string rfc3339(std::chrono::system_clock::time_point when) {
  using namespace std::chrono;
  const auto since = floor<milliseconds>(when.time_since_epoch());
  const std::time_t seconds = static_cast<std::time_t>(floor<std::chrono::seconds>(since).count());
  const int millis = static_cast<int>((since - floor<std::chrono::seconds>(since)).count());
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char date[32];
  std::strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &parts);
  char result[48];
  std::snprintf(result, sizeof result, "%s.%03dZ", date, millis);
  return result;
}

std::string rfc3339(double unix_seconds) {
  static constexpr double year_10000 = 253402300800.0;
  if (!std::isfinite(unix_seconds) || unix_seconds < 0 || unix_seconds >= year_10000) unix_seconds = 0;
  return rfc3339(std::chrono::system_clock::time_point(
      std::chrono::milliseconds(static_cast<std::int64_t>(unix_seconds * 1000.0))));
}

std::size_t edit_distance(std::string_view left, std::string_view right) {
  // Three rows of the usual table are enough: a swap of neighbours looks two rows back.
  std::vector<std::size_t> before(right.size() + 1), above(right.size() + 1), row(right.size() + 1);
  for (std::size_t j = 0; j <= right.size(); ++j) above[j] = j;
  for (std::size_t i = 1; i <= left.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= right.size(); ++j) {
      const std::size_t replace = above[j - 1] + (left[i - 1] == right[j - 1] ? 0 : 1);
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, replace});
      if (i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1])
        row[j] = std::min(row[j], before[j - 2] + 1);
    }
    std::swap(before, above);
    std::swap(above, row);
  }
  return above[right.size()];
}

}  // namespace rtd::protocol
