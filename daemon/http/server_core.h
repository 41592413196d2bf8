// The inside of the server: routes, listeners, and the list of connections. Shared by the server's handle and by the
// connections, so that what the loop still owes them finds it alive.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/http/server.h"

namespace rtd::http::detail {

class connection;

/// One registered path.
struct route_entry {
  std::string path;
  handler handle;
  std::vector<std::string> methods;

  /// Whether the method is among `methods`, HEAD counting as GET.
  bool allows(std::string_view method) const;
  /// "GET, HEAD" for the Allow header.
  std::string allowed() const;
};

class server_core : public std::enable_shared_from_this<server_core> {
 public:
  server_core(boost::asio::io_context& loop, limits bounds);

  void add_route(route_entry route);
  void add_listener(int descriptor);
  std::vector<std::string> addresses() const;
  void close_listeners();
  void stop(std::chrono::milliseconds grace, std::function<void()> done);
  /// Closes everything now, calls nobody.
  void close_all();
  connection_counts counts() const noexcept;

  // For connections.
  /// The route for a path or null.
  std::shared_ptr<const route_entry> find_route(std::string_view path) const;
  void observe(const observation& what) noexcept;
  void report(std::string_view line) noexcept;
  void count_timeout() noexcept { ++counts_.timed_out_total; }
  /// Takes the connection out of the list; it has closed its socket.
  void forget(const connection& gone) noexcept;
  bool stopping() const noexcept { return stopping_; }
  const limits& bounds() const noexcept { return bounds_; }
  boost::asio::io_context& loop() const noexcept { return loop_; }

  std::function<void(const observation&)> observer;
  std::function<void(std::string_view)> problem;

 private:
  struct listener {
    boost::asio::ip::tcp::acceptor acceptor;
    boost::asio::steady_timer pause;
  };

  void wait_for_clients(const std::shared_ptr<listener>& on);
  void accept_waiting(const std::shared_ptr<listener>& on);
  void take(int descriptor, const sockaddr_storage& peer);
  /// Closes the connection that can best be spared; false when there is none.
  bool evict_one() noexcept;
  void finish_stop();

  boost::asio::io_context& loop_;
  const limits bounds_;
  std::map<std::string, std::shared_ptr<const route_entry>, std::less<>> routes_;
  std::list<std::shared_ptr<listener>> listeners_;
  std::list<std::shared_ptr<connection>> connections_;
  connection_counts counts_;
  boost::asio::steady_timer grace_;
  std::function<void()> stopped_;
  std::chrono::steady_clock::time_point last_accept_report_{};
  bool stopping_ = false;
};

}  // namespace rtd::http::detail
