// What a peer of the control socket may do. Each role includes those before it.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace rtd::protocol {

enum class role : std::uint8_t { none, view, operate, admin };

constexpr std::string_view to_string(role value) noexcept {
  switch (value) {
    case role::none:
      return "none";
    case role::view:
      return "view";
    case role::operate:
      return "operate";
    case role::admin:
      return "admin";
  }
  return "none";
}

constexpr std::optional<role> role_from(std::string_view text) noexcept {
  for (role value : {role::none, role::view, role::operate, role::admin})
    if (to_string(value) == text) return value;
  return std::nullopt;
}

}  // namespace rtd::protocol
