// Requests to rtd over its control socket: JSON-RPC 2.0, one object a line.
#pragma once

#include <deque>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "daemon/ctl/connection.h"

namespace rtd::ctl {

/// What rtd says of itself when a client connects.
struct greeting {
  std::string version;
  int protocol = 0;
  std::string role;
};

/// Something that rtd sends without being asked again: a line of a followed log, an event.
struct notification {
  std::string method;
  nlohmann::json params;
};

/// One connection; one request at a time. Not thread-safe.
class rpc_client {
 public:
  /// Reads the greeting. @throws command_error when the peer is not an rtd that this rtctl can talk to
  rpc_client(connection link, deadline limit);

  const greeting& server() const noexcept { return greeting_; }

  /// See connection::interrupt_by.
  void interrupt_by(int descriptor) noexcept { link_.interrupt_by(descriptor); }

  /// Sends a request and waits for its result, an object. Notifications that come meanwhile are kept.
  /// @throws request_error when rtd answers with an error; command_error when no answer comes
  nlohmann::json call(std::string_view method, const nlohmann::json& params, deadline limit);

  /// The next notification; blocks until there is one. @throws command_error
  notification next_notification(deadline limit);

 private:
  nlohmann::json read_message(deadline limit);
  [[noreturn]] void throw_not_rtd(const std::string& why) const;

  connection link_;
  greeting greeting_;
  std::deque<notification> waiting_;
  std::int64_t last_id_ = 0;
};

/// The error object of a JSON-RPC answer as an exception. `method` is the request that it answers, empty when none.
/// `role` is the client's role, for the message.
[[noreturn]] void throw_request_error(const nlohmann::json& error, std::string_view method, const greeting& server);

}  // namespace rtd::ctl
