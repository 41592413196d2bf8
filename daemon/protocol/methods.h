// The methods of the control socket: who may call them, what they take, what they are for.
//
// The server checks every request against this table before it runs anything, `rpc.discover` prints it, and rtctl's
// completion reads it; so a parameter that is not here does not exist.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string_view>

#include "daemon/protocol/error.h"
#include "daemon/protocol/role.h"

namespace rtd::protocol {

enum class param_type : std::uint8_t { text, name, identifier, boolean, integer, number, object, policy };

/// "string", "boolean", "integer", "number", "object", "string|object".
std::string_view to_string(param_type type) noexcept;

struct param_info {
  std::string_view name;
  param_type type;
  bool required;
  std::string_view description;
  double least = 0;  // of integers and numbers
  double most = 1e9;
};

struct method_info {
  std::string_view name;
  role needs;
  bool changes;  // true for methods that change something: their calls are audited
  std::string_view description;
  std::span<const param_info> params;
};

/// All methods, in the order of their names.
std::span<const method_info> methods() noexcept;

/// The method of that name, or null.
const method_info* find_method(std::string_view name) noexcept;

/// Checks that `params` has every required member, no unknown one, and the right types and ranges.
/// @throws rpc_error (invalid_params) naming the parameter, with a hint.
void check_params(const method_info& method, const nlohmann::json& params);

/// The whole table as the result of rpc.discover.
nlohmann::json describe_methods();

/// The error for a name that is no method, with "did you mean".
rpc_error unknown_method(std::string_view name);

}  // namespace rtd::protocol
