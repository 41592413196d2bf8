#include "runtime/task/kept_listeners.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <utility>

#include "runtime/net/listener_keeper.h"
#include "runtime/sched/scheduler.h"
#include "runtime/task/task_state.h"

namespace rt::detail {

namespace {

// In the network's order; 0 where there is none.
in_port_t port_of(const net::detail::socket_address& address) noexcept {
  if (address.family() == AF_INET) return reinterpret_cast<const sockaddr_in*>(address.data())->sin_port;
  if (address.family() == AF_INET6) return reinterpret_cast<const sockaddr_in6*>(address.data())->sin6_port;
  return 0;
}

}  // namespace

bool kept_listeners::add(net::detail::owned_fd socket) {
  int listens = 0;
  int type = 0;
  socklen_t size = sizeof listens;
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) != 0 || listens == 0) return false;
  size = sizeof type;
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_TYPE, &type, &size) != 0 || type != SOCK_STREAM) return false;
  kept one{std::move(socket), {}};
  socklen_t length = net::detail::socket_address::capacity();
  if (::getsockname(one.socket.get(), one.address.buffer(), &length) != 0) return false;
  one.address.set_size(length);
  all_.push_back(std::move(one));
  return true;
}

int kept_listeners::copy_of(const net::detail::socket_address& address) const noexcept {
  for (const kept& one : all_) {
    // All addresses of the machine, in either family, mean the same: which socket that is was its opener's to decide.
    const bool is_same = one.address == address || (one.address.is_unspecified() && address.is_unspecified() &&
                                                    port_of(one.address) == port_of(address));
    if (is_same) return ::fcntl(one.socket.get(), F_DUPFD_CLOEXEC, 0);
  }
  return -1;
}

void kept_listeners::serve() noexcept {
  net::detail::set_listener_keeper([](const net::detail::socket_address& address) noexcept {
    const group* mine = current_group();
    if (mine == nullptr || mine->owner == nullptr) return -1;
    const auto& listeners = static_cast<const task_state*>(mine->owner)->listeners();
    return listeners == nullptr ? -1 : listeners->copy_of(address);
  });
}

}  // namespace rt::detail
