// One client of the control socket.
//
// Invariants:
//   1. A client costs at most one line (1 MiB) of input, `max_in_flight` requests, and `queue_limit` plus one answer of
//      output. While more than `queue_soft_limit` waits to be read by the client, nothing is read from it.
//   2. A client that does not read its output for `stall_timeout` is dropped, as is one that leaves a line half written
//      for `line_timeout`, or is idle for `idle_timeout` without having asked to follow anything.
//   3. Bytes that are no line of JSON-RPC get an error; bytes that cannot be lines at all (too long) an error and the
//   end.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/protocol/framing.h"
#include "daemon/supervisor/call.h"
#include "daemon/supervisor/io/byte_stream.h"
#include "daemon/supervisor/io/timer.h"

namespace rtd::supervisor {

class control_connection final : public subscriber, public std::enable_shared_from_this<control_connection> {
 public:
  static constexpr int max_in_flight = 16;
  static constexpr std::size_t queue_soft_limit = 256U << 10U;
  static constexpr std::size_t follow_limit = 1U << 20U;  // beyond it notifications are dropped
  static constexpr std::size_t queue_limit = 64U << 20U;  // beyond it the client is
  static constexpr std::chrono::seconds line_timeout{30};
  static constexpr std::chrono::seconds stall_timeout{30};
  static constexpr std::chrono::minutes idle_timeout{10};
  static constexpr std::chrono::seconds roleless_timeout{5};

  struct callbacks {
    /// A request, checked as far as the method table goes. The connection's own refusals (no JSON, no such method,
    /// permission) do not come here but go to `refused`.
    std::function<void(call_handle)> request;
    std::function<void(const peer&, std::string_view method, const protocol::rpc_error&)> refused;
    /// An answered call with the seconds it took; also when the client is gone by then.
    std::function<void(const call&, const call::outcome&, double seconds)> answered;
    /// The connection has ended, for a reason: closed, dropped_slow, idle, broken.
    std::function<void(control_connection*, std::string_view reason)> ended;
  };

  control_connection(loop& on, sandbox::descriptor socket, peer from, protocol::role role, callbacks on_event);
  ~control_connection() override;

  /// Greets the client and begins to read.
  void begin();
  /// Writes an error that belongs to no request, and closes when it is out.
  void refuse(const protocol::rpc_error& error);
  void close(std::string_view reason);

  void notify(std::string_view method, const nlohmann::json& params) override;
  void keep(std::shared_ptr<void> token) override;

  const peer& from() const noexcept { return from_; }
  protocol::role role() const noexcept { return role_; }

 private:
  void data(std::string_view bytes);
  void read_lines();
  void handle_line(const std::string& line);
  void send(std::string line);
  void drained();
  void watch();

  loop& loop_;
  sandbox::descriptor socket_;
  peer from_;
  protocol::role role_;
  callbacks callbacks_;
  std::unique_ptr<byte_stream> stream_;
  protocol::line_decoder lines_;
  std::vector<std::shared_ptr<void>> tokens_;
  int in_flight_ = 0;
  std::uint64_t dropped_ = 0;  // notifications, since the client was last told
  clock::time_point last_activity_ = clock::now();
  clock::time_point line_began_{};
  timer watch_timer_;
  bool ending_ = false;
};

}  // namespace rtd::supervisor
