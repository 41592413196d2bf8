// What a running command has at hand: the connection, the time limits, the console.
#pragma once

#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "daemon/ctl/console.h"
#include "daemon/ctl/rpc_client.h"

namespace rtd::ctl {

/// How long one request may take unless --timeout says otherwise, in seconds.
inline constexpr double default_timeout = 30;

class command_context {
 public:
  /// @param timeout what --timeout gave, in seconds (0: no limit); nothing when it was not given
  command_context(std::string socket, std::optional<double> timeout, console& terminal)
      : socket_(std::move(socket)), timeout_(timeout), start_(std::chrono::steady_clock::now()), console_(terminal) {}

  console& terminal() noexcept { return console_; }

  /// The connection, made at the first call. @throws command_error
  rpc_client& client();

  /// A request that rtd answers at once: --timeout or 30 s.
  nlohmann::json call(std::string_view method, const nlohmann::json& params = nlohmann::json::object());

  /// A request whose answer may take as long as a task runs: --timeout, counted from the start of the command, or
  /// without end.
  nlohmann::json call_and_wait(std::string_view method, const nlohmann::json& params);

  /// The next notification of a followed log or of the events; waits without end.
  notification next_notification() { return client().next_notification(std::nullopt); }

 private:
  deadline request_limit() const { return deadline_in(timeout_.value_or(default_timeout)); }

  std::string socket_;
  std::optional<double> timeout_;
  std::chrono::steady_clock::time_point start_;
  console& console_;
  std::optional<rpc_client> client_;
};

}  // namespace rtd::ctl
