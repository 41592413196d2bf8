// rt::net::listen.
#include <netinet/tcp.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <string>

#include "rt/net.h"
#include "runtime/net/endpoint.h"
#include "runtime/net/listener_keeper.h"
#include "runtime/net/socket_state.h"
#include "runtime/net/stream_options.h"
#include "runtime/net/system_calls.h"

namespace rt::net {

namespace detail {

namespace {

std::error_code system_error_of(int negated) noexcept { return {-negated, std::system_category()}; }

// The longest queue of connections that the system allows; asking for more is cut without a word.
int backlog() noexcept {
  static const int value = [] {
    int limit = 0;
    if (std::FILE* file = std::fopen("/proc/sys/net/core/somaxconn", "re"); file != nullptr) {
      if (std::fscanf(file, "%d", &limit) != 1) limit = 0;
      std::fclose(file);
    }
    return limit > 0 ? limit : SOMAXCONN;
  }();
  return value;
}

failure why_bind_failed(int result, const socket_address& address) {
  failure why(system_error_of(result));
  if (address.family() == AF_UNIX) {
    std::string path = address.text();
    struct stat file;
    if (result == -EADDRINUSE && path.front() == '@') {
      why.detail = "another socket has this abstract name";
    } else if (result == -EADDRINUSE && ::lstat(path.c_str(), &file) == 0 && !S_ISSOCK(file.st_mode)) {
      why.detail = path + " exists and is not a socket; move it away or choose another path";
    } else if (result == -EADDRINUSE) {
      why.detail = "the socket file " + path + " exists; if no process listens on it (ss -xl), remove it";
    } else if (result == -ENOENT) {
      why.detail = "the folder of " + path + " does not exist";
    } else if (result == -EACCES) {
      why.detail = "the folder of " + path + " must be writable for this user";
    }
  } else if (result == -EADDRINUSE) {
    why.detail = "another socket listens on " + address.text() + " (ss -tlnp shows which)";
  } else if (result == -EACCES) {
    why.detail = "ports below net.ipv4.ip_unprivileged_port_start need the capability CAP_NET_BIND_SERVICE";
  } else if (result == -EADDRNOTAVAIL) {
    why.detail = "no interface of this machine has the address " + address.text();
  }
  return why;
}

std::atomic<listener_keeper> the_keeper{nullptr};

struct listening {
  owned_fd fd;
  socket_address bound;
};

failure open_listener(const socket_address& address, bool dual_stack, listening& result) {
  int fd = system_call::make_stream_socket(address.family());
  if (fd < 0) return {system_error_of(fd)};
  owned_fd owner(fd);
  if (address.family() != AF_UNIX) {
    system_call::set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    set_stream_options(fd);  // accepted sockets inherit them
  }
  if (address.family() == AF_INET6) {
    int outcome = system_call::set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, dual_stack ? 0 : 1);
    if (outcome != 0) return {system_error_of(outcome)};
  }
  if (int outcome = system_call::bind(fd, address.data(), address.size()); outcome != 0) {
    return why_bind_failed(outcome, address);
  }
  if (int outcome = system_call::listen(fd, backlog()); outcome != 0) return why_bind_failed(outcome, address);
  socklen_t length = socket_address::capacity();
  int outcome = system_call::local_address(fd, result.bound.buffer(), &length);
  if (outcome != 0) return {system_error_of(outcome)};
  result.bound.set_size(length);
  result.fd = std::move(owner);
  return {};
}

int kept_listener(const socket_address& address) noexcept {
  listener_keeper keeper = the_keeper.load(std::memory_order_acquire);  // pairs with set_listener_keeper
  return keeper == nullptr ? -1 : keeper(address);
}

failure listen_on(std::string_view network_name, std::string_view address, std::shared_ptr<socket_state>& state) {
  endpoints found;
  if (failure why = find_endpoints(network_name, address, purpose::listen, no_deadline, found)) return why;
  listening opened;
  failure why;
  for (const socket_address& each : found.addresses) {
    if (owned_fd given(kept_listener(each)); given.get() >= 0) {
      state = std::make_shared<socket_state>(std::move(given), each);
      return {};
    }
  }
  for (const socket_address& each : found.addresses) {
    bool dual_stack = found.kind == network::tcp && each.family() == AF_INET6 && each.is_unspecified();
    why = open_listener(each, dual_stack, opened);
    if (!why) break;
    // For all addresses the second choice is IPv4 alone, on a machine that has no IPv6.
    if (!found.host_given && why.code.value() != EAFNOSUPPORT && why.code.value() != EADDRNOTAVAIL) return why;
  }
  if (why) return why;
  bool has_file = found.kind == network::unix_domain && address.front() != '@';
  state = std::make_shared<socket_state>(std::move(opened.fd), opened.bound);
  struct stat file;
  if (has_file && ::lstat(opened.bound.text().c_str(), &file) == 0) state->own_socket_file(file);
  return {};
}

}  // namespace

void set_listener_keeper(listener_keeper keeper) noexcept {
  the_keeper.store(keeper, std::memory_order_release);  // pairs with kept_listener
}

}  // namespace detail

listener listen(std::string_view network, std::string_view address, std::error_code& error) {
  std::shared_ptr<detail::socket_state> state;
  error = detail::listen_on(network, address, state).code;
  return listener(std::move(state));
}

listener listen(std::string_view network, std::string_view address) {
  std::shared_ptr<detail::socket_state> state;
  if (detail::failure why = detail::listen_on(network, address, state)) {
    throw std::system_error(why.code, detail::describe("listen", network, address, why));
  }
  return listener(std::move(state));
}

}  // namespace rt::net
