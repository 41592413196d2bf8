// JSON-RPC 2.0 messages of the control socket, as values. One message is one line; see framing.h for the cutting.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "daemon/protocol/error.h"

namespace rtd::protocol {

struct request {
  nlohmann::json id;  // a string or a whole number
  std::string method;
  nlohmann::json params;  // always an object
};

/// The request in `message`. Batches, notifications, positional parameters and members that the standard does not know
/// are refused: rtd answers every request, and a request must say what it means.
/// @throws rpc_error (invalid_request) saying what is wrong.
request parse_request(const nlohmann::json& message);

/// The id of a message that is no good request, to answer it with an error; null when it has none that can be used.
nlohmann::json id_of(const nlohmann::json& message);

/// Whole lines, newline included.
std::string result_line(const nlohmann::json& id, const nlohmann::json& result);
std::string error_line(const nlohmann::json& id, const rpc_error& error);
std::string notification_line(std::string_view method, const nlohmann::json& params);
std::string request_line(const nlohmann::json& id, std::string_view method, const nlohmann::json& params);

/// What a server may send, read by a client.
struct response {
  enum class type { result, error, notification } what;
  nlohmann::json id;     // null for notifications
  std::string method;    // of a notification
  nlohmann::json value;  // the result, or the notification's params
  std::optional<rpc_error> error;
};

/// @throws std::runtime_error saying what is wrong with the message.
response parse_response(const nlohmann::json& message);

}  // namespace rtd::protocol
