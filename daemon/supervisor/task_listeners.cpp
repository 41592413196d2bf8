#include "daemon/supervisor/task_listeners.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "daemon/config/endpoint.h"

namespace rtd::supervisor {
namespace {

constexpr std::string_view unix_prefix = "unix:";
// The system cuts it to net.core.somaxconn.
constexpr int longest_queue = 1 << 16;

struct address {
  sockaddr_storage storage{};
  socklen_t size = 0;
  const sockaddr* data() const noexcept { return reinterpret_cast<const sockaddr*>(&storage); }
};

address address_of(const std::string& text) {
  address result;
  if (text.starts_with(unix_prefix)) {
    auto& to = reinterpret_cast<sockaddr_un&>(result.storage);
    to.sun_family = AF_UNIX;
    text.copy(to.sun_path, sizeof to.sun_path - 1, unix_prefix.size());
    result.size = sizeof to;
    return result;
  }
  const auto from = config::parse_endpoint(text);
  if (!from) return result;
  auto& v4 = reinterpret_cast<sockaddr_in&>(result.storage);
  auto& v6 = reinterpret_cast<sockaddr_in6&>(result.storage);
  if (::inet_pton(AF_INET, from->address.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(from->port);
    result.size = sizeof v4;
  } else if (::inet_pton(AF_INET6, from->address.c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(from->port);
    result.size = sizeof v6;
  }
  return result;
}

// A socket file that nobody listens on: what a daemon that died has left.
bool is_left_behind(const address& where, const std::string& file) {
  struct stat found {};
  if (::lstat(file.c_str(), &found) != 0 || !S_ISSOCK(found.st_mode)) return false;
  const sandbox::descriptor probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  return ::connect(probe.get(), where.data(), where.size) != 0 && errno == ECONNREFUSED;
}

std::string why_not(int error, const std::string& text) {
  std::string why = "it cannot listen on " + text + ": " + std::strerror(error);
  if (error == EADDRINUSE) why += "; another socket has it (ss -xtlnp shows which)";
  if (error == EACCES && !text.starts_with(unix_prefix))
    why += "; ports below net.ipv4.ip_unprivileged_port_start need the capability CAP_NET_BIND_SERVICE";
  return why;
}

}  // namespace

task_listeners::~task_listeners() {
  for (listener& one : open_) close(one);
}

void task_listeners::close(listener& one) noexcept {
  if (!one.file.empty()) ::unlink(one.file.c_str());
  one.socket.reset();
}

std::string task_listeners::open(const std::vector<std::string>& addresses) {
  std::erase_if(open_, [&](listener& one) {
    if (std::ranges::find(addresses, one.address) != addresses.end()) return false;
    close(one);
    return true;
  });
  stop_waiting();
  for (const std::string& text : addresses) {
    if (std::ranges::any_of(open_, [&](const listener& one) { return one.address == text; })) continue;
    const address where = address_of(text);
    listener fresh;
    fresh.address = text;
    fresh.socket =
        sandbox::descriptor(::socket(where.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fresh.socket) return why_not(errno, text);
    const int on = 1;
    if (where.storage.ss_family == AF_UNIX) {
      const std::string file = text.substr(unix_prefix.size());
      if (is_left_behind(where, file)) ::unlink(file.c_str());
    } else {
      ::setsockopt(fresh.socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
      ::setsockopt(fresh.socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);  // accepted sockets inherit it
    }
    if (::bind(fresh.socket.get(), where.data(), where.size) != 0) return why_not(errno, text);
    if (where.storage.ss_family == AF_UNIX) fresh.file = text.substr(unix_prefix.size());
    if (::listen(fresh.socket.get(), longest_queue) != 0) {
      const int error = errno;
      close(fresh);
      return why_not(error, text);
    }
    open_.push_back(std::move(fresh));
  }
  return {};
}

std::vector<sandbox::descriptor> task_listeners::copies() const {
  std::vector<sandbox::descriptor> result;
  for (const listener& one : open_) {
    result.emplace_back(::fcntl(one.socket.get(), F_DUPFD_CLOEXEC, 0));
    if (!result.back()) throw std::system_error(errno, std::generic_category(), "a copy of " + one.address);
  }
  return result;
}

std::string task_listeners::wait(loop& on, const std::function<void(const std::string& address)>& connected) {
  stop_waiting();
  for (const listener& one : open_) {
    sandbox::descriptor copy(::fcntl(one.socket.get(), F_DUPFD_CLOEXEC, 0));
    if (!copy) {
      const int error = errno;
      stop_waiting();
      return "it cannot wait for connections to " + one.address + ": " + std::strerror(error);
    }
    waiting_.push_back(std::make_unique<readiness>(on, std::move(copy), [this, connected, address = one.address] {
      // By values: the readiness that holds them goes with the others.
      const auto tell = connected;
      const std::string where = address;
      stop_waiting();
      tell(where);
    }));
    waiting_.back()->rearm();
  }
  return {};
}

}  // namespace rtd::supervisor
