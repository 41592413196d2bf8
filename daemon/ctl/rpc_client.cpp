#include "daemon/ctl/rpc_client.h"

#include <utility>

#include "daemon/ctl/error.h"
#include "daemon/ctl/fields.h"
#include "daemon/ctl/text.h"
#include "daemon/ctl/units.h"
#include "daemon/protocol/json.h"
#include "daemon/protocol/version.h"

namespace rtd::ctl {
namespace {

using nlohmann::json;

constexpr protocol::json_limits answer_limits{max_answer_bytes, protocol::control_limits.max_depth, 2'000'000};

// What a user can do about an error for which rtd sent no hint of its own.
std::string remedy_for(std::string_view kind, const greeting& server) {
  if (kind == "permission_denied")
    return "your role here is " + (server.role.empty() ? "not known" : safe_line(server.role)) +
           "; run as root, or have control.roles in rtd's config give you more";
  if (kind == "method_not_found")
    return "rtd is version " + safe_line(server.version) + ", rtctl " + std::string(protocol::version()) +
           ": install the same version of both";
  if (kind == "conflict") return "the config has been reloaded meanwhile; look at `rtctl status` and try again";
  return {};
}

}  // namespace

void throw_request_error(const json& error, std::string_view method, const greeting& server) {
  const json& data = member_of(error, "data");
  std::string kind = text_of(data, "kind");
  if (kind.empty() && number_of(error, "code") == -32601.0) kind = "method_not_found";
  std::string message = safe_line(text_of(error, "message"));
  if (message.empty())
    message = "rtd refused" + (method.empty() ? "" : " " + std::string(method)) + " without saying why";
  std::string hint = safe_line(text_of(data, "hint"));
  if (hint.empty()) hint = remedy_for(kind, server);
  throw request_error(exit_code_for_kind(kind), message, std::move(hint), kind, data);
}

rpc_client::rpc_client(connection link, deadline limit) : link_(std::move(link)) {
  const json hello = read_message(limit);
  // A client that may not connect at all is told so in place of the greeting.
  if (hello.contains("error")) throw_request_error(hello["error"], {}, greeting_);
  if (text_of(hello, "method") != "rtd.hello") throw_not_rtd("it does not greet as rtd does");
  const json& params = member_of(hello, "params");
  greeting_.version = text_of(params, "version");
  greeting_.protocol = static_cast<int>(number_of(params, "protocol").value_or(0));
  greeting_.role = text_of(params, "role");
  if (greeting_.protocol != protocol::control_protocol)
    throw command_error(exit_code::unreachable,
                        "rtd " + safe_line(greeting_.version) + " speaks control protocol " +
                            std::to_string(greeting_.protocol) + ", this rtctl " + std::string(protocol::version()) +
                            " speaks " + std::to_string(protocol::control_protocol),
                        "install the same version of both");
}

void rpc_client::throw_not_rtd(const std::string& why) const {
  throw command_error(exit_code::unreachable, "what answers at " + link_.name() + " is not rtd: " + why,
                      "give the path of rtd's control socket with --socket");
}

json rpc_client::read_message(deadline limit) {
  auto parsed = protocol::parse_json(link_.read_line(limit), answer_limits);
  if (!parsed) throw_not_rtd(parsed.error);
  if (!parsed.value->is_object()) throw_not_rtd("it sent JSON that is no object");
  return *std::move(parsed.value);
}

json rpc_client::call(std::string_view method, const json& params, deadline limit) {
  const std::int64_t id = ++last_id_;
  const std::string line =
      protocol::to_line(json{{"jsonrpc", "2.0"}, {"id", id}, {"method", method}, {"params", params}});
  if (line.size() > protocol::max_line_bytes)
    throw command_error(exit_code::usage,
                        "the request " + std::string(method) +
                            " is too long for the control socket: " + format_bytes(static_cast<double>(line.size())) +
                            ", at most " + format_bytes(static_cast<double>(protocol::max_line_bytes)));
  link_.write_line(line, limit);
  for (;;) {
    json message = read_message(limit);
    const json& its_id = member_of(message, "id");
    if (message.contains("method") && its_id.is_null()) {
      waiting_.push_back({text_of(message, "method"), member_of(message, "params")});
    } else if (message.contains("error") && (its_id == id || its_id.is_null())) {
      throw_request_error(message["error"], method, greeting_);
    } else if (its_id == id) {
      json& result = message["result"];
      if (!result.is_object()) throw_not_rtd("the result of " + std::string(method) + " is no object");
      return std::move(result);
    }
    // Anything else answers a request that was given up.
  }
}

notification rpc_client::next_notification(deadline limit) {
  if (waiting_.empty()) {
    for (;;) {
      json message = read_message(limit);
      if (message.contains("error")) throw_request_error(message["error"], {}, greeting_);
      if (message.contains("method")) return {text_of(message, "method"), member_of(message, "params")};
    }
  }
  notification first = std::move(waiting_.front());
  waiting_.pop_front();
  return first;
}

}  // namespace rtd::ctl
