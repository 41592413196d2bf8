#include "daemon/config/duration.h"

#include <array>
#include <cstdint>
#include <limits>

#include "daemon/config/text.h"

namespace rtd::config {
namespace {

struct unit {
  std::string_view name;
  std::int64_t nanoseconds;
};

// Largest first. The spellings of one unit follow each other.
constexpr std::array<unit, 9> units{{{"d", 86'400'000'000'000},
                                     {"h", 3'600'000'000'000},
                                     {"m", 60'000'000'000},
                                     {"s", 1'000'000'000},
                                     {"ms", 1'000'000},
                                     {"us", 1'000},
                                     {"\u00b5s", 1'000},  // micro sign
                                     {"\u03bcs", 1'000},  // Greek mu
                                     {"ns", 1}}};

__extension__ using wide = __int128;

constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();

bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }

/// The parts of "1m30.5s", one at a time.
class duration_reader {
 public:
  duration_reader(std::string_view text, std::string* error) : text_(text), error_(error) {}

  std::optional<std::chrono::nanoseconds> read() {
    if (text_.empty()) return fail("it is empty");
    if (text_ == "0") return std::chrono::nanoseconds(0);
    if (text_[0] == '-') return fail("it is negative");
    while (offset_ < text_.size()) {
      if (!read_part()) return std::nullopt;
    }
    return std::chrono::nanoseconds(total_);
  }

 private:
  std::nullopt_t fail(const std::string& why) {
    if (error_ != nullptr) *error_ = why;
    return std::nullopt;
  }

  bool read_part() {
    const std::size_t start = offset_;
    std::int64_t whole = 0;
    for (; offset_ < text_.size() && is_digit(text_[offset_]); ++offset_) {
      if (__builtin_mul_overflow(whole, 10, &whole) || __builtin_add_overflow(whole, text_[offset_] - '0', &whole)) {
        fail("it is longer than 292 years");
        return false;
      }
    }
    if (offset_ == start) {
      fail("a number is expected at " + in_quotes(text_.substr(offset_), 12));
      return false;
    }
    std::string_view fraction;
    if (offset_ < text_.size() && text_[offset_] == '.') {
      const std::size_t fraction_start = ++offset_;
      while (offset_ < text_.size() && is_digit(text_[offset_])) ++offset_;
      fraction = text_.substr(fraction_start, offset_ - fraction_start);
      if (fraction.empty()) {
        fail("digits are expected after the point");
        return false;
      }
    }
    return read_unit(text_.substr(start, offset_ - start), whole, fraction);
  }

  bool read_unit(std::string_view number, std::int64_t whole, std::string_view fraction) {
    const std::size_t start = offset_;
    while (offset_ < text_.size() && !is_digit(text_[offset_]) && text_[offset_] != '.') ++offset_;
    const std::string_view name = text_.substr(start, offset_ - start);
    if (name.empty()) {
      fail("the unit is missing after " + std::string(number.substr(0, 24)));
      return false;
    }
    const unit* found = nullptr;
    for (const unit& candidate : units) {
      if (candidate.name == name) found = &candidate;
    }
    if (name.find(' ') != std::string_view::npos) {
      fail("it contains a space");
      return false;
    }
    if (found == nullptr) {
      fail("there is no unit " + in_quotes(name, 12));
      return false;
    }
    if (found->nanoseconds >= unit_before_) {
      fail("its units must stand from the largest to the smallest, each once");
      return false;
    }
    unit_before_ = found->nanoseconds;
    if (!fraction.empty() && offset_ < text_.size()) {
      fail("only its last number may have a fraction");
      return false;
    }
    return add(whole, *found) && add_fraction(fraction, *found);
  }

  bool add(std::int64_t count, const unit& of) {
    std::int64_t amount = 0;
    if (__builtin_mul_overflow(count, of.nanoseconds, &amount) || __builtin_add_overflow(total_, amount, &total_)) {
      fail("it is longer than 292 years");
      return false;
    }
    return true;
  }

  /// Fractions count exactly: 0.125m is 7.5 s, and what does not come out in whole nanoseconds is refused.
  bool add_fraction(std::string_view digits, const unit& of) {
    while (!digits.empty() && digits.back() == '0') digits.remove_suffix(1);
    if (digits.size() > 18) return fail_below_nanosecond();
    std::int64_t numerator = 0;
    std::int64_t denominator = 1;
    for (const char digit : digits) {
      numerator = numerator * 10 + (digit - '0');
      denominator *= 10;
    }
    const wide product = static_cast<wide>(numerator) * of.nanoseconds;
    if (product % denominator != 0) return fail_below_nanosecond();
    return add(1, {of.name, static_cast<std::int64_t>(product / denominator)});
  }

  bool fail_below_nanosecond() {
    fail("it has parts below a nanosecond");
    return false;
  }

  std::string_view text_;
  std::string* error_;
  std::size_t offset_ = 0;
  std::int64_t total_ = 0;
  std::int64_t unit_before_ = most;
};

}  // namespace

std::optional<std::chrono::nanoseconds> parse_duration(std::string_view text, std::string* error) {
  return duration_reader(text, error).read();
}

std::string format_duration(std::chrono::nanoseconds length) {
  std::int64_t rest = length.count();
  if (rest == 0) return "0s";
  std::string result;
  for (const unit& part : units) {
    const std::int64_t count = rest / part.nanoseconds;
    if (count == 0) continue;
    rest -= count * part.nanoseconds;
    result += std::to_string(count);
    result += part.name;
  }
  return result;
}

}  // namespace rtd::config
