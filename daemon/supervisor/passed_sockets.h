// Listening sockets that the service manager opened before the daemon started, and keeps while it is restarted: nobody
// who connects meanwhile is turned away. They are known by name (FileDescriptorName= of the socket's unit).
//
// Invariants:
//   1. What is passed and what the configuration says agree, or the daemon does not start: a passed socket that nobody
//      answers would let its clients wait forever.
//   2. The place and the permissions of a passed socket are its unit's. The daemon neither changes nor removes it.
#pragma once

#include <map>
#include <stdexcept>
#include <string>

#include "daemon/sandbox/descriptor.h"

namespace rtd::supervisor {

/// A socket was passed that is not to be used. what() names it, the reason and the remedy.
class passed_socket_error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class passed_sockets {
 public:
  /// The names that rtd knows.
  static constexpr const char* control = "control";
  static constexpr const char* metrics = "metrics";

  /// Nothing was passed.
  passed_sockets() = default;
  /// Takes what the environment names (LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES), once for each process, and removes
  /// those variables. @throws passed_socket_error for a name that rtd does not know or that came twice.
  static passed_sockets from_environment();

  /// The control socket, if one was passed, non-blocking; to be taken once.
  /// @throws passed_socket_error unless it listens at this path
  sandbox::descriptor take_control(const std::string& path);
  /// The socket of HTTP, if one was passed; to be taken once. `address` is "127.0.0.1:9180", or empty for no HTTP.
  /// @throws passed_socket_error unless it is bound to this address
  sandbox::descriptor take_metrics(const std::string& address);
  /// @throws passed_socket_error if the socket of HTTP was passed: a reload cannot give it another address
  void check_metrics_stays() const;

 private:
  friend passed_sockets make_passed_sockets(std::map<std::string, sandbox::descriptor> all);
  sandbox::descriptor take(const std::string& name);

  std::map<std::string, sandbox::descriptor> all_;
};

/// From sockets at hand, by name.
passed_sockets make_passed_sockets(std::map<std::string, sandbox::descriptor> all);

}  // namespace rtd::supervisor
