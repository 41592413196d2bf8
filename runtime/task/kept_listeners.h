// The listening sockets that a task was given. They stay open for as long as the task, whatever it does with its own
// copies, and beyond it in the process that has opened them: so connections that come while the task is started anew
// wait, and are not refused.
//
// A task gets one by asking for its address: rt::net::listen gives it a copy of the socket instead of opening another.
// So code that knows nothing of this works with it.
#pragma once

#include <vector>

#include "runtime/net/owned_fd.h"
#include "runtime/net/socket_address.h"

namespace rt::detail {

class kept_listeners {
 public:
  kept_listeners() = default;
  kept_listeners(const kept_listeners&) = delete;
  kept_listeners& operator=(const kept_listeners&) = delete;

  /// Takes a socket over. False, and closes it, when it is none that listens for streams.
  bool add(net::detail::owned_fd socket);
  /// A copy of the one that listens on the address, or -1. Any thread.
  int copy_of(const net::detail::socket_address& address) const noexcept;
  bool empty() const noexcept { return all_.empty(); }

  /// Lets rt::net::listen ask the task of its caller. Once.
  static void serve() noexcept;

 private:
  struct kept {
    net::detail::owned_fd socket;
    net::detail::socket_address address;
  };
  std::vector<kept> all_;
};

}  // namespace rt::detail
