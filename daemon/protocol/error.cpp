#include "daemon/protocol/error.h"

#include <array>
#include <utility>

namespace rtd::protocol {
namespace {

constexpr std::array<std::pair<error_kind, std::string_view>, 17> names{{
    {error_kind::parse_error, "parse_error"},
    {error_kind::invalid_request, "invalid_request"},
    {error_kind::method_not_found, "method_not_found"},
    {error_kind::invalid_params, "invalid_params"},
    {error_kind::internal, "internal"},
    {error_kind::permission_denied, "permission_denied"},
    {error_kind::not_found, "not_found"},
    {error_kind::already_exists, "already_exists"},
    {error_kind::invalid_state, "invalid_state"},
    {error_kind::busy, "busy"},
    {error_kind::conflict, "conflict"},
    {error_kind::timeout, "timeout"},
    {error_kind::unavailable, "unavailable"},
    {error_kind::invalid_config, "invalid_config"},
    {error_kind::plugin_rejected, "plugin_rejected"},
    {error_kind::sandbox_failed, "sandbox_failed"},
    {error_kind::unsupported, "unsupported"},
}};

}  // namespace

std::string_view to_string(error_kind kind) noexcept {
  for (const auto& [value, name] : names)
    if (value == kind) return name;
  return "internal";
}

std::optional<error_kind> error_kind_from(std::string_view text) noexcept {
  for (const auto& [value, name] : names)
    if (name == text) return value;
  return std::nullopt;
}

int code_of(error_kind kind) noexcept {
  switch (kind) {
    case error_kind::parse_error:
      return -32700;
    case error_kind::invalid_request:
      return -32600;
    case error_kind::method_not_found:
      return -32601;
    case error_kind::invalid_params:
      return -32602;
    case error_kind::internal:
      return -32603;
    default:
      return -32000;
  }
}

}  // namespace rtd::protocol
