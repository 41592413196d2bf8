#include "runtime/task/duration_text.h"

#include <cstddef>
#include <cstdint>
#include <limits>

namespace rt::detail {

namespace {

struct unit {
  std::string_view name;
  std::int64_t nanoseconds;
};
// Longer names first, so that "ms" is not read as "m".
constexpr unit units[] = {
    {"ns", 1}, {"us", 1'000}, {"ms", 1'000'000}, {"s", 1'000'000'000}, {"m", 60'000'000'000}, {"h", 3'600'000'000'000}};

bool is_digit(char character) noexcept { return character >= '0' && character <= '9'; }

const unit* find_unit(std::string_view text) noexcept {
  for (const unit& candidate : units) {
    if (text.starts_with(candidate.name)) return &candidate;
  }
  return nullptr;
}

}  // namespace

std::optional<duration> parse_duration(std::string_view text) noexcept {
  if (text == "0") return duration::zero();
  if (text.empty()) return std::nullopt;
  constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
  std::int64_t total = 0;
  while (!text.empty()) {
    std::int64_t whole = 0;
    std::size_t digits = 0;
    for (; digits < text.size() && is_digit(text[digits]); ++digits) {
      int digit = text[digits] - '0';
      if (whole > (most - digit) / 10) return std::nullopt;
      whole = whole * 10 + digit;
    }
    bool has_digits = digits > 0;
    text.remove_prefix(digits);
    // The fraction as an integer over a power of ten; digits below 1e-15 of a unit cannot make a nanosecond.
    std::int64_t fraction = 0;
    std::int64_t scale = 1;
    if (text.starts_with('.')) {
      text.remove_prefix(1);
      std::size_t used = 0;
      for (; used < text.size() && is_digit(text[used]); ++used) {
        if (scale < 1'000'000'000'000'000) {
          fraction = fraction * 10 + (text[used] - '0');
          scale *= 10;
        }
      }
      if (used == 0) return std::nullopt;
      has_digits = true;
      text.remove_prefix(used);
    }
    const unit* measure = find_unit(text);
    if (!has_digits || measure == nullptr) return std::nullopt;
    text.remove_prefix(measure->name.size());
    auto part = static_cast<std::int64_t>(static_cast<__int128>(fraction) * measure->nanoseconds / scale);
    if (whole > (most - part) / measure->nanoseconds) return std::nullopt;
    part += whole * measure->nanoseconds;
    if (total > most - part) return std::nullopt;
    total += part;
  }
  return duration(total);
}

}  // namespace rt::detail
