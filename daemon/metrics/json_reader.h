// Reading fields of untrusted JSON with checks; what is wrong is thrown with the field's name and caught at the entry.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <string_view>

namespace rtd::metrics {

/// The answer is not built as it must be; what() names the field and what was expected.
class bad_answer : public std::runtime_error {
 public:
  bad_answer(const std::string& field, std::string_view expected)
      : std::runtime_error(field + " is not " + std::string(expected)) {}
};

/// Above this a double no longer counts in ones.
inline constexpr std::uint64_t largest_count = std::uint64_t{1} << 53U;

inline std::uint64_t to_count(const nlohmann::json& value, const std::string& field,
                              std::uint64_t most = largest_count) {
  constexpr std::string_view expected = "a whole number within its range";
  if (value.is_number_unsigned()) {
    const auto number = value.get<std::uint64_t>();
    if (number <= most) return number;
  } else if (value.is_number_integer()) {
    const auto number = value.get<std::int64_t>();
    if (number >= 0 && static_cast<std::uint64_t>(number) <= most) return static_cast<std::uint64_t>(number);
  }
  throw bad_answer(field, expected);
}

/// A finite number.
inline double to_number(const nlohmann::json& value, const std::string& field,
                        double least = std::numeric_limits<double>::lowest()) {
  if (value.is_number()) {
    const double number = value.get<double>();
    if (std::isfinite(number) && number >= least) return number;
  }
  throw bad_answer(field, least == 0 ? "a finite number that is not negative" : "a finite number");
}

inline const std::string& to_text(const nlohmann::json& value, const std::string& field, std::size_t most) {
  if (!value.is_string()) throw bad_answer(field, "a string");
  const auto& text = value.get_ref<const std::string&>();
  if (text.size() > most) throw bad_answer(field, "a string of at most " + std::to_string(most) + " bytes");
  return text;
}

/// A member of an object, which must be there.
inline const nlohmann::json& member(const nlohmann::json& object, const std::string& where, const char* name) {
  if (!object.is_object()) throw bad_answer(where, "an object");
  const auto found = object.find(name);
  if (found == object.end()) throw bad_answer(where + "." + name, "there");
  return *found;
}

inline const nlohmann::json& array_member(const nlohmann::json& object, const std::string& where, const char* name,
                                          std::size_t most) {
  const nlohmann::json& value = member(object, where, name);
  if (!value.is_array()) throw bad_answer(where + "." + name, "an array");
  if (value.size() > most) {
    throw bad_answer(where + "." + name, "an array of at most " + std::to_string(most) + " elements");
  }
  return value;
}

}  // namespace rtd::metrics
