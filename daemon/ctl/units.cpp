#include "daemon/ctl/units.h"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <utility>

namespace rtd::ctl {
namespace {

constexpr std::int64_t minute = 60;
constexpr std::int64_t hour = 60 * minute;
constexpr std::int64_t day = 24 * hour;
constexpr double longest_seconds = 1e11;  // some three thousand years: whatever is longer is nonsense

template <class... Values>
std::string printed(const char* format, Values... values) {
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, format, values...);
  return buffer;
}

bool is_shown(std::optional<double> value) {
  return value && std::isfinite(*value) && *value >= 0 && *value < longest_seconds;
}

std::string two_units(std::int64_t amount, std::int64_t unit, const char* unit_name, std::int64_t part,
                      const char* part_name) {
  std::string text = std::to_string(amount / unit) + unit_name;
  if (const std::int64_t rest = amount % unit / part; rest != 0) text += std::to_string(rest) + part_name;
  return text;
}

}  // namespace

std::string format_age(std::optional<double> seconds) {
  if (!is_shown(seconds)) return "-";
  const auto whole = static_cast<std::int64_t>(*seconds);
  if (whole < 2 * minute) return std::to_string(whole) + "s";
  if (whole < 10 * minute) return two_units(whole, minute, "m", 1, "s");
  if (whole < 3 * hour) return std::to_string(whole / minute) + "m";
  if (whole < 8 * hour) return two_units(whole, hour, "h", minute, "m");
  if (whole < 2 * day) return std::to_string(whole / hour) + "h";
  if (whole < 8 * day) return two_units(whole, day, "d", hour, "h");
  return std::to_string(whole / day) + "d";
}

std::string format_seconds(std::optional<double> seconds) {
  if (!is_shown(seconds)) return "-";
  const double value = *seconds;
  if (value == 0) return "0s";
  if (value < 0.0009995) return printed("%.0fus", value * 1e6);
  if (value < 0.9995) return printed("%.3gms", value * 1e3);
  if (value < 59.995) return printed("%.2fs", value);
  const auto whole = static_cast<std::int64_t>(std::llround(value));
  if (whole < hour) return printed("%dm%02ds", static_cast<int>(whole / minute), static_cast<int>(whole % minute));
  return printed("%lldh%02dm", static_cast<long long>(whole / hour), static_cast<int>(whole % hour / minute));
}

std::string format_bytes(std::optional<double> bytes) {
  if (!bytes || !std::isfinite(*bytes) || *bytes < 0) return "-";
  constexpr std::array<const char*, 5> units{"KiB", "MiB", "GiB", "TiB", "PiB"};
  if (*bytes < 1024) return printed("%.0f B", *bytes);
  double value = *bytes;
  std::size_t unit = 0;
  // 1023.96 would round to "1024.0 KiB": such values belong to the next unit.
  for (value /= 1024; value >= 1023.95 && unit + 1 < units.size(); ++unit) value /= 1024;
  return printed("%.1f %s", value, units[unit]);
}

std::string format_percent(std::optional<double> percent) {
  if (!percent || !std::isfinite(*percent)) return "-";
  return printed("%.1f", *percent);
}

std::optional<double> parse_seconds(std::string_view text) {
  constexpr std::array<std::pair<std::string_view, double>, 7> units{
      {{"ns", 1e-9}, {"us", 1e-6}, {"ms", 1e-3}, {"s", 1}, {"m", minute}, {"h", hour}, {"d", day}}};
  if (text.empty()) return std::nullopt;
  double total = 0;
  for (bool is_first = true; !text.empty(); is_first = false) {
    const std::size_t digits = text.find_first_not_of("0123456789.");
    const std::string_view number = text.substr(0, digits);
    double amount = 0;
    const auto [end, problem] =
        std::from_chars(number.data(), number.data() + number.size(), amount, std::chars_format::fixed);
    if (problem != std::errc() || end != number.data() + number.size()) return std::nullopt;
    if (digits == std::string_view::npos) {
      if (!is_first) return std::nullopt;
      total = amount;
      break;
    }
    text.remove_prefix(digits);
    const std::string_view name = text.substr(0, text.find_first_of("0123456789."));
    bool is_known = false;
    for (const auto& [unit, its_seconds] : units) {
      if (unit != name) continue;
      total += amount * its_seconds;
      is_known = true;
    }
    if (!is_known) return std::nullopt;
    text.remove_prefix(name.size());
  }
  if (!std::isfinite(total) || total > longest_seconds) return std::nullopt;
  return total;
}

std::optional<std::uint64_t> parse_bytes(std::string_view text) {
  constexpr std::string_view units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) return std::nullopt;
  const std::string_view unit = text.substr(static_cast<std::size_t>(end - text.data()));
  for (std::size_t i = 0; i < std::size(units); ++i) {
    if (units[i] != unit) continue;
    if (number > static_cast<std::uint64_t>(INT64_MAX) >> (10 * i)) return std::nullopt;
    return number << (10 * i);
  }
  return std::nullopt;
}

std::optional<double> parse_time(std::string_view text) {
  const std::string copy(text.substr(0, 40));
  std::tm parts{};
  int used = 0;
  if (std::sscanf(copy.c_str(), "%4d-%2d-%2dT%2d:%2d:%2d%n", &parts.tm_year, &parts.tm_mon, &parts.tm_mday,
                  &parts.tm_hour, &parts.tm_min, &parts.tm_sec, &used) != 6)
    return std::nullopt;
  if (parts.tm_mon < 1 || parts.tm_mon > 12 || parts.tm_mday < 1 || parts.tm_mday > 31 || parts.tm_hour > 23 ||
      parts.tm_min > 59 || parts.tm_sec > 60)
    return std::nullopt;
  parts.tm_year -= 1900;
  parts.tm_mon -= 1;
  std::string_view rest = std::string_view(copy).substr(static_cast<std::size_t>(used));
  double fraction = 0;
  if (rest.starts_with('.')) {
    const std::string_view digits = rest.substr(0, std::min(rest.find_first_not_of("0123456789", 1), rest.size()));
    if (digits.size() < 2) return std::nullopt;
    std::from_chars(digits.data(), digits.data() + digits.size(), fraction, std::chars_format::fixed);
    rest.remove_prefix(digits.size());
  }
  int offset = 0;
  if (rest != "Z" && rest != "z") {
    int hours = 0;
    int minutes = 0;
    char sign = 0;
    if (rest.size() != 6 || std::sscanf(rest.data(), "%c%2d:%2d", &sign, &hours, &minutes) != 3) return std::nullopt;
    if (sign != '+' && sign != '-') return std::nullopt;
    offset = (hours * 60 + minutes) * 60 * (sign == '-' ? -1 : 1);
  }
  return static_cast<double>(timegm(&parts) - offset) + fraction;
}

std::string local_time(std::string_view rfc3339) {
  const auto seconds = parse_time(rfc3339);
  if (!seconds) return std::string(rfc3339);
  const auto milliseconds = std::llround(*seconds * 1000);
  const std::time_t whole = static_cast<std::time_t>(milliseconds / 1000);
  std::tm parts{};
  localtime_r(&whole, &parts);
  char buffer[40];
  const std::size_t length = std::strftime(buffer, sizeof buffer, "%Y-%m-%d %H:%M:%S", &parts);
  return std::string(buffer, length) + printed(".%03d", static_cast<int>(milliseconds % 1000));
}

}  // namespace rtd::ctl
