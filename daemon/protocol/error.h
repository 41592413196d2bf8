// The errors that a method of the control socket can answer with.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

namespace rtd::protocol {

/// What kind of failure it is. Clients decide by this (rtctl maps it to its exit codes); the message is for people.
enum class error_kind : std::uint8_t {
  parse_error,
  invalid_request,
  method_not_found,
  invalid_params,
  internal,
  permission_denied,
  not_found,
  already_exists,
  invalid_state,
  busy,
  conflict,
  timeout,
  unavailable,
  invalid_config,
  plugin_rejected,
  sandbox_failed,
  unsupported,
};

/// The kind as it stands in data.kind: "not_found".
std::string_view to_string(error_kind kind) noexcept;
std::optional<error_kind> error_kind_from(std::string_view text) noexcept;

/// The JSON-RPC code: -32700 … -32603 where the standard has one, else -32000.
int code_of(error_kind kind) noexcept;

/// A request that cannot be answered with a result. `data` may hold hint, pointer, line, column, problems; the kind is
/// added to it when it is sent.
class rpc_error : public std::runtime_error {
 public:
  rpc_error(error_kind kind, const std::string& message, nlohmann::json data = nlohmann::json::object())
      : std::runtime_error(message), kind_(kind), data_(std::move(data)) {}
  error_kind kind() const noexcept { return kind_; }
  const nlohmann::json& data() const noexcept { return data_; }

 private:
  error_kind kind_;
  nlohmann::json data_;
};

}  // namespace rtd::protocol
