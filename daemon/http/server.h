// The daemon's HTTP/1.1 server: /metrics, /livez, /readyz and what later parts register.
//
// It runs on the supervisor's own event loop, so nothing here may block, throw into the loop, or let a client hold
// more than a bounded amount of memory for a bounded time:
//   1. A connection is in exactly one phase (idle, reading head, reading body, handling, writing, lingering) and each
//      phase has a deadline of its own that traffic does not extend. A client that sends one byte a second loses.
//   2. Heads, bodies and the number of connections are limited. At the limit the connection that has been idle longest
//      makes room, else one that has taken over a second to send its request; when there is neither, the new one is
//      told 503.
//   3. Requests of one connection are handled one after the other; pipelined ones wait in the read buffer, which is no
//      larger than the head limit.
//   4. A handler answers through its responder: at once, or later from the same loop. One that never answers is
//      answered for (504 after the handler's deadline; 500 when the last copy of the responder is gone).
//   5. Descriptors are close-on-exec from their first moment: the daemon starts other programs.
// Rejected: a thread for each server (its handlers would need locks on the supervisor's state), CivetWeb of
// prometheus-cpp (threads of its own, no descriptor passing, no deadline for slow clients).
#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/http/message.h"

namespace rtd::http {

namespace detail {
class pending_answer;
class server_core;
}  // namespace detail

/// The way to answer one request. Copies answer the same request; the first answer counts. Use it on the loop's thread.
class responder {
 public:
  explicit responder(std::shared_ptr<detail::pending_answer> pending) noexcept : pending_(std::move(pending)) {}
  /// Sends the response. Does nothing when the request was answered before or its client is gone. Never throws.
  void answer(response answer) const noexcept;
  /// False once the request was answered (also by a deadline) or the connection is closed: no need to go on working.
  bool wanted() const noexcept;

 private:
  std::shared_ptr<detail::pending_answer> pending_;
};

/// Handles one request; `request` is good until the call returns. Exceptions become 500 and a line in the log.
using handler = std::function<void(const request&, responder)>;

/// Limits and deadlines; every one is per connection or request, apart from max_connections.
struct limits {
  std::size_t max_connections = 256;
  std::size_t max_header_bytes = 16 * 1024;  ///< request line and headers
  std::size_t max_body_bytes = 64 * 1024;
  std::chrono::milliseconds idle_timeout{90'000};  ///< between requests; more than a usual scrape interval
  std::chrono::milliseconds header_timeout{10'000};
  std::chrono::milliseconds body_timeout{10'000};
  std::chrono::milliseconds handler_timeout{30'000};
  std::chrono::milliseconds write_timeout{30'000};  ///< for the whole response
  std::chrono::milliseconds linger_timeout{1'000};  ///< for the client to close after the last response
};

/// One answered request.
struct observation {
  std::string_view handler;  ///< the route's path; "other" when no route matched or the request could not be read
  std::string_view method;   ///< as sent, or "" when the request could not be read
  int code;
  double seconds;  ///< from the end of the request's head to the end of writing the response
};

/// Connections since the start.
struct connection_counts {
  std::size_t open = 0;
  std::uint64_t accepted_total = 0;
  std::uint64_t rejected_total = 0;   ///< told 503 because max_connections were busy
  std::uint64_t evicted_total = 0;    ///< idle or slow ones closed to make room
  std::uint64_t timed_out_total = 0;  ///< closed because a deadline passed with a request half read or half answered
};

/// The address cannot be listened on. what() names the address, the reason and the remedy.
class listen_error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The server. All members are to be called on the thread that runs the io_context (or before it runs).
class server {
 public:
  explicit server(boost::asio::io_context& loop, limits bounds = {});
  /// Closes everything at once. Must come before the end of the io_context and not from inside one of its callbacks.
  ~server();
  server(const server&) = delete;
  server& operator=(const server&) = delete;

  /// Registers a handler for an exact path ("/metrics"), or for all paths below one when it ends in '/' and is not "/"
  /// itself ("/debug/pprof/"; the longest match wins). "GET" allows HEAD as well. Replaces an earlier route.
  void route(std::string path, handler handle, std::vector<std::string> methods = {"GET"});

  /// Listens on "127.0.0.1:9180", "[::1]:9180" or "localhost:9180", which stands for 127.0.0.1; other names are
  /// refused. Port 0 is a free port. May be called several times. @throws listen_error
  void listen(std::string_view address);
  /// Takes over a TCP socket that listens already (socket activation). @throws listen_error; the descriptor is closed
  /// in that case too.
  void adopt(int descriptor);
  /// Where it listens, with real port numbers: "127.0.0.1:9180", "[::1]:9180".
  std::vector<std::string> addresses() const;
  /// Stops listening; connections live on.
  void close_listeners();

  /// Called once for every response that was sent or given up on.
  void on_request(std::function<void(const observation&)> observer);
  /// Called with a line of text for what an operator should know (a handler threw, accept fails).
  void on_problem(std::function<void(std::string_view)> report);

  /// Stops listening, closes idle connections, lets requests in hand finish for up to `grace`, closes the rest and then
  /// calls `done` (on the loop, never from inside this call).
  void stop(std::chrono::milliseconds grace, std::function<void()> done = {});

  connection_counts counts() const noexcept;

 private:
  std::shared_ptr<detail::server_core> core_;
};

}  // namespace rtd::http
