// The control socket: who may connect, how many, and the hand-over of their requests to the methods.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "daemon/config/config.h"
#include "daemon/metrics/snapshot.h"
#include "daemon/supervisor/control_connection.h"
#include "daemon/supervisor/control_socket.h"
#include "daemon/supervisor/io/readiness.h"
#include "daemon/supervisor/io/timer.h"
#include "daemon/supervisor/rate_limit.h"
#include "daemon/supervisor/services.h"

namespace rtd::supervisor {

class control_server {
 public:
  /// Connections beyond max_connections that only admins get, so that nobody can lock the administrator out; and the
  /// most that peers without a role may have.
  static constexpr std::int64_t reserved_for_admins = 8;
  static constexpr std::int64_t for_roleless = 8;

  control_server(services with, config::control_section settings);
  ~control_server();
  control_server(const control_server&) = delete;
  control_server& operator=(const control_server&) = delete;

  /// Who answers a method. Every method of the table must have one before listen().
  void handle(std::string_view method, method_handler handler);

  /// Starts to listen, on the socket of passed_sockets::take_control() if there is one. @throws control_socket_error
  void listen(sandbox::descriptor passed = {});
  /// Takes over other settings; a socket that moves is opened anew first. @throws control_socket_error, nothing
  /// changed.
  void configure(const config::control_section& settings);
  /// Lets further clients wait in the socket's queue: who is connected is served.
  void stop_accepting();
  /// Ends all connections and removes the socket.
  void close();

  const metrics::control_figures& figures();

 private:
  void accept_some();
  void accept_one(sandbox::descriptor socket);
  void dispatch(const call_handle& made);
  void audit(const call& of, const call::outcome& outcome);
  void count_end(control_connection* which, std::string_view reason);
  void begin_accepting();

  services with_;
  config::control_section settings_;
  std::map<std::string, method_handler, std::less<>> handlers_;
  std::unique_ptr<control_socket> socket_;
  std::unique_ptr<readiness> listening_;
  timer retry_;
  std::map<control_connection*, std::shared_ptr<control_connection>> connections_;
  std::int64_t roleless_ = 0;
  metrics::control_figures figures_;
  rate_limit refusal_lines_{1, 10};
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace rtd::supervisor
