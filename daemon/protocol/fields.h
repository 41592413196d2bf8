// Reading members of an object that an untrusted peer wrote, without exceptions for what is missing or of another type.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "daemon/protocol/text.h"

namespace rtd::protocol {

/// The text of member `key`, cleaned and cut; empty when it is missing or no string.
inline std::string text_field(const nlohmann::json& object, std::string_view key, std::size_t max_bytes) {
  if (!object.is_object()) return {};
  const auto found = object.find(key);
  if (found == object.end() || !found->is_string()) return {};
  return clean_text(found->get_ref<const std::string&>(), max_bytes);
}

/// A whole number within [least, most], or `fallback`.
inline std::int64_t integer_field(const nlohmann::json& object, std::string_view key, std::int64_t fallback,
                                  std::int64_t least, std::int64_t most) {
  if (!object.is_object()) return fallback;
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number_integer()) return fallback;
  if (found->is_number_unsigned() && found->get<std::uint64_t>() > static_cast<std::uint64_t>(INT64_MAX))
    return fallback;
  const auto value = found->get<std::int64_t>();
  return value < least || value > most ? fallback : value;
}

/// A finite number within [least, most], or `fallback`.
inline double number_field(const nlohmann::json& object, std::string_view key, double fallback, double least,
                           double most) {
  if (!object.is_object()) return fallback;
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number()) return fallback;
  const auto value = found->get<double>();
  return value >= least && value <= most ? value : fallback;
}

inline bool boolean_field(const nlohmann::json& object, std::string_view key, bool fallback) {
  if (!object.is_object()) return fallback;
  const auto found = object.find(key);
  return found != object.end() && found->is_boolean() ? found->get<bool>() : fallback;
}

/// The member, or null when there is none.
inline const nlohmann::json& member(const nlohmann::json& object, std::string_view key) {
  static const nlohmann::json nothing;
  if (!object.is_object()) return nothing;
  const auto found = object.find(key);
  return found == object.end() ? nothing : *found;
}

}  // namespace rtd::protocol
