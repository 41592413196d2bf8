#include "daemon/protocol/rpc.h"

#include <stdexcept>

#include "daemon/protocol/json.h"
#include "daemon/protocol/text.h"

namespace rtd::protocol {
namespace {

using nlohmann::json;

[[noreturn]] void refuse(const std::string& message, const std::string& hint = {}) {
  json data = json::object();
  if (!hint.empty()) data["hint"] = hint;
  throw rpc_error(error_kind::invalid_request, message, std::move(data));
}

std::string line_of(const json& message) { return to_line(message) + "\n"; }

}  // namespace

request parse_request(const json& message) {
  if (message.is_array()) refuse("batches are not supported", "send one request a line");
  if (!message.is_object()) refuse("a request must be a JSON object");
  for (const auto& [key, value] : message.items())
    if (key != "jsonrpc" && key != "id" && key != "method" && key != "params")
      refuse("unknown member \"" + clean_text(key, 64) + "\"",
             "a request has the members jsonrpc, id, method and params");
  const auto version = message.find("jsonrpc");
  if (version == message.end() || *version != "2.0") refuse("the member \"jsonrpc\" must be \"2.0\"");
  const auto id = message.find("id");
  if (id == message.end() || id->is_null()) refuse("a request needs an \"id\"", "every request is answered");
  if (!id->is_string() && !id->is_number_integer()) refuse("\"id\" must be a string or a whole number");
  if (id->is_string() && id->get_ref<const std::string&>().size() > 128) refuse("\"id\" is longer than 128 bytes");
  const auto method = message.find("method");
  if (method == message.end() || !method->is_string()) refuse("\"method\" must be a string");
  request result{*id, method->get<std::string>(), json::object()};
  if (const auto params = message.find("params"); params != message.end() && !params->is_null()) {
    if (!params->is_object()) refuse("\"params\" must be an object: parameters are given by name");
    result.params = *params;
  }
  return result;
}

json id_of(const json& message) {
  if (!message.is_object()) return nullptr;
  const auto id = message.find("id");
  if (id == message.end()) return nullptr;
  if (id->is_number_integer()) return *id;
  if (id->is_string() && id->get_ref<const std::string&>().size() <= 128) return *id;
  return nullptr;
}

std::string result_line(const json& id, const json& result) {
  return line_of({{"jsonrpc", "2.0"}, {"id", id}, {"result", result}});
}

std::string error_line(const json& id, const rpc_error& error) {
  json data = error.data().is_object() ? error.data() : json::object();
  data["kind"] = to_string(error.kind());
  return line_of({{"jsonrpc", "2.0"},
                  {"id", id},
                  {"error", {{"code", code_of(error.kind())}, {"message", error.what()}, {"data", std::move(data)}}}});
}

std::string notification_line(std::string_view method, const json& params) {
  return line_of({{"jsonrpc", "2.0"}, {"method", method}, {"params", params}});
}

std::string request_line(const json& id, std::string_view method, const json& params) {
  return line_of({{"jsonrpc", "2.0"}, {"id", id}, {"method", method}, {"params", params}});
}

response parse_response(const json& message) {
  if (!message.is_object()) throw std::runtime_error("the daemon sent something that is no JSON object");
  const auto text = [](const json& object, const char* key) -> std::string {
    const auto found = object.find(key);
    return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  if (const auto method = message.find("method"); method != message.end()) {
    if (!method->is_string()) throw std::runtime_error("the daemon sent a notification without a name");
    return {response::type::notification, nullptr, method->get<std::string>(), message.value("params", json::object()),
            std::nullopt};
  }
  const json id = id_of(message);
  if (const auto error = message.find("error"); error != message.end()) {
    if (!error->is_object()) throw std::runtime_error("the daemon sent an error that is no object");
    json data = error->value("data", json::object());
    if (!data.is_object()) data = json::object();
    const auto kind = error_kind_from(text(data, "kind")).value_or(error_kind::internal);
    return {response::type::error, id, {}, nullptr, rpc_error(kind, text(*error, "message"), std::move(data))};
  }
  if (const auto result = message.find("result"); result != message.end())
    return {response::type::result, id, {}, *result, std::nullopt};
  throw std::runtime_error("the daemon sent a message with neither result nor error");
}

}  // namespace rtd::protocol
