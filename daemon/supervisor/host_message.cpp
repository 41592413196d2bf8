#include "daemon/supervisor/host_message.h"

#include <utility>

#include "daemon/protocol/fields.h"
#include "daemon/protocol/json.h"
#include "daemon/protocol/text.h"

namespace rtd::supervisor {

using nlohmann::json;

std::optional<host_message> read_host_message(std::string_view frame, std::string& problem) {
  const auto refuse = [&](std::string why) -> std::optional<host_message> {
    problem = std::move(why);
    return std::nullopt;
  };
  auto parsed = protocol::parse_json(frame, protocol::link_limits);
  if (!parsed) return refuse("a frame that is not JSON: " + parsed.error);
  json& message = *parsed.value;
  if (!message.is_object()) return refuse("a frame that is no object");
  host_message result;
  if (const auto event = message.find("event"); event != message.end()) {
    if (!event->is_string()) return refuse("an event without a name");
    result.event = std::move(message);
    return result;
  }
  if (!message.contains("id")) return refuse("a frame that is neither an answer nor an event");
  const auto id = protocol::integer_field(message, "id", -1, 0, INT64_MAX);
  if (id < 0) return refuse("an answer to a request that was never made");
  result.request = static_cast<std::uint64_t>(id);
  const bool has_result = protocol::member(message, "result").is_object();
  const json& error = protocol::member(message, "error");
  if (has_result == error.is_object()) return refuse("an answer without a result or error object");
  if (has_result) {
    result.answer.result = std::move(message["result"]);
    return result;
  }
  result.answer.error_kind = protocol::text_field(error, "kind", 64);
  if (!protocol::is_name(result.answer.error_kind)) result.answer.error_kind = "internal";
  result.answer.message = protocol::text_field(error, "message", protocol::max_text_bytes);
  return result;
}

}  // namespace rtd::supervisor
