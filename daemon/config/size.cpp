#include "daemon/config/size.h"

#include <array>
#include <cstddef>
#include <limits>

#include "daemon/config/text.h"

namespace rtd::config {
namespace {

constexpr std::array<std::string_view, 5> unit_names{"B", "KiB", "MiB", "GiB", "TiB"};
constexpr std::uint64_t most = std::numeric_limits<std::int64_t>::max();

std::nullopt_t fail(std::string* error, const std::string& why) {
  if (error != nullptr) *error = why;
  return std::nullopt;
}

/// For the units that people write by habit: "K", "kb", "MB", "g".
std::string advice(std::string_view name) {
  if (name.empty()) return {};
  const char letter = static_cast<char>(name[0] >= 'a' && name[0] <= 'z' ? name[0] - 'a' + 'A' : name[0]);
  for (const std::string_view known : unit_names) {
    if (name.size() <= 3 && known[0] == letter) return ", did you mean " + in_quotes(known) + '?';
  }
  return {};
}

}  // namespace

std::optional<std::uint64_t> parse_size(std::string_view text, std::string* error) {
  if (text == "0") return 0;
  std::size_t offset = 0;
  std::uint64_t number = 0;
  for (; offset < text.size() && text[offset] >= '0' && text[offset] <= '9'; ++offset) {
    const auto digit = static_cast<std::uint64_t>(text[offset] - '0');
    if (number > (most - digit) / 10) return fail(error, "it is larger than 8191 PiB");
    number = number * 10 + digit;
  }
  if (offset == 0) return fail(error, text.empty() ? "it is empty" : "it does not start with a digit");
  const std::string_view name = text.substr(offset);
  if (name.empty()) return fail(error, "the unit is missing");
  for (std::size_t i = 0; i < unit_names.size(); ++i) {
    if (unit_names[i] != name) continue;
    if (number > most >> (10 * i)) return fail(error, "it is larger than 8191 PiB");
    return number << (10 * i);
  }
  return fail(error, "there is no unit " + in_quotes(name, 12) + advice(name));
}

std::string format_size(std::uint64_t bytes) {
  if (bytes == 0) return "0";
  std::size_t unit = 0;
  while (unit + 1 < unit_names.size() && bytes % 1024 == 0) {
    bytes /= 1024;
    ++unit;
  }
  return std::to_string(bytes) + std::string(unit_names[unit]);
}

}  // namespace rtd::config
