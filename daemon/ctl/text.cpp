#include "daemon/ctl/text.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <utility>

#include "daemon/ctl/unicode_width.h"
#include "daemon/protocol/text.h"

namespace rtd::ctl {
namespace {

constexpr std::size_t longest_line = std::size_t{1} << 20U;

struct character {
  char32_t value;
  std::size_t length;
};

// The first character of `text`, which is valid UTF-8 and not empty; a byte that is none counts as one character.
character first_character(std::string_view text) noexcept {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  const std::size_t length = lead < 0x80 ? 1 : lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
  if (length == 1 || text.size() < length) return {lead, 1};
  char32_t value = lead & (0xFFU >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) value = (value << 6U) | (byte(i) & 0x3FU);
  return {value, length};
}

bool steers_terminal(char32_t c) noexcept {
  return (c >= 0x7F && c < 0xA0) || (c >= 0x202A && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069) || c == 0x200E ||
         c == 0x200F || c == 0x061C || c == 0x2028 || c == 0x2029;
}

const char* escape_of(tone its_tone) noexcept {
  switch (its_tone) {
    case tone::good:
      return "\x1b[32m";
    case tone::warning:
      return "\x1b[33m";
    case tone::bad:
      return "\x1b[31m";
    case tone::faint:
      return "\x1b[2m";
    case tone::strong:
      return "\x1b[1m";
    case tone::plain:
      break;
  }
  return "";
}

constexpr std::array<std::pair<std::string_view, tone>, 19> state_tones{{
    {"running", tone::good},    {"listening", tone::good},  {"up", tone::good},          {"ready", tone::good},
    {"loaded", tone::good},     {"ok", tone::good},         {"starting", tone::warning}, {"stopping", tone::warning},
    {"backoff", tone::warning}, {"cancelled", tone::faint}, {"failed", tone::bad},       {"fatal", tone::bad},
    {"refused", tone::bad},     {"stuck", tone::bad},       {"not ready", tone::bad},    {"down", tone::bad},
    {"stopped", tone::faint},   {"completed", tone::faint}, {"unloaded", tone::faint},
}};

}  // namespace

std::string safe_line(std::string_view raw) {
  std::string text = protocol::clean_text(raw, longest_line);
  std::replace(text.begin(), text.end(), '\t', ' ');
  return text;
}

std::string safe_block(std::string_view raw) {
  std::string result;
  result.reserve(raw.size());
  while (!raw.empty()) {
    const std::size_t end = raw.find('\n');
    result += protocol::clean_text(raw.substr(0, end), longest_line);
    if (end == std::string_view::npos) break;
    result += '\n';
    raw.remove_prefix(end + 1);
  }
  return result;
}

std::string safe_json(std::string_view json_text) {
  std::string result;
  result.reserve(json_text.size());
  while (!json_text.empty()) {
    const character next = first_character(json_text);
    if (steers_terminal(next.value)) {
      char buffer[8];
      std::snprintf(buffer, sizeof buffer, "\\u%04x", static_cast<unsigned>(next.value));
      result += buffer;
    } else {
      result += json_text.substr(0, next.length);
    }
    json_text.remove_prefix(next.length);
  }
  return result;
}

std::size_t display_width(std::string_view text) noexcept {
  std::size_t width = 0;
  while (!text.empty()) {
    const character next = first_character(text);
    width += static_cast<std::size_t>(columns_of(next.value));
    text.remove_prefix(next.length);
  }
  return width;
}

std::string cut_to_width(std::string_view text, std::size_t width) {
  if (display_width(text) <= width) return std::string(text);
  if (width == 0) return {};
  std::size_t used = 0;
  std::size_t bytes = 0;
  while (bytes < text.size()) {
    const character next = first_character(text.substr(bytes));
    const auto columns = static_cast<std::size_t>(columns_of(next.value));
    if (used + columns > width - 1) break;
    used += columns;
    bytes += next.length;
  }
  return std::string(text.substr(0, bytes)) + "…";
}

tone tone_of_state(std::string_view state) noexcept {
  for (const auto& [name, its_tone] : state_tones)
    if (name == state) return its_tone;
  return tone::plain;
}

tone tone_of_level(std::string_view level) noexcept {
  if (level == "error" || level == "critical") return tone::bad;
  if (level == "warn" || level == "warning") return tone::warning;
  if (level == "debug" || level == "trace") return tone::faint;
  return tone::plain;
}

std::string paint(std::string_view text, tone its_tone, bool colour) {
  if (!colour || its_tone == tone::plain || text.empty()) return std::string(text);
  return std::string(escape_of(its_tone)) + std::string(text) + "\x1b[0m";
}

}  // namespace rtd::ctl
