#include "daemon/http/listening.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <memory>

#include "daemon/http/server.h"

namespace rtd::http {

namespace {

struct address_list_deleter {
  void operator()(addrinfo* list) const noexcept { ::freeaddrinfo(list); }
};
using address_list = std::unique_ptr<addrinfo, address_list_deleter>;

[[noreturn]] void fail(std::string_view address, std::string_view reason, std::string_view remedy) {
  std::string message = "cannot listen on ";
  message.append(address).append(": ").append(reason);
  if (!remedy.empty()) message.append(" (").append(remedy).append(")");
  throw listen_error(message);
}

std::string remedy_for(int error, const std::string& port) {
  switch (error) {
    case EADDRINUSE:
      return "another program has this port, `ss -ltnp sport = :" + port +
             "` shows which; stop it or set http.listen to another address";
    case EADDRNOTAVAIL:
      return "no network interface of this machine has this address; `ip address` lists them";
    case EACCES:
      return "ports below 1024 need CAP_NET_BIND_SERVICE; choose a higher port for http.listen";
    case EAFNOSUPPORT:
      return "this kernel has no such address family; choose an address of the other one";
    case EMFILE:
    case ENFILE:
      return "too few descriptors are allowed; raise LimitNOFILE";
    default:
      return "set http.listen to another address";
  }
}

struct host_and_port {
  std::string host;  // without brackets
  std::string port;
};

host_and_port split(std::string_view address) {
  constexpr std::string_view form = "write it as ADDRESS:PORT, e.g. 127.0.0.1:9180 or [::1]:9180";
  const std::size_t colon = address.rfind(':');
  if (colon == std::string_view::npos) fail(address, "the port is missing", form);
  std::string_view host = address.substr(0, colon);
  const std::string_view port = address.substr(colon + 1);
  unsigned number = 0;
  const auto parsed = std::from_chars(port.data(), port.data() + port.size(), number);
  if (port.empty() || parsed.ec != std::errc() || parsed.ptr != port.data() + port.size() || number > 65535) {
    fail(address, "\"" + std::string(port) + "\" is no port number from 0 to 65535", form);
  }
  if (host.empty()) fail(address, "the address is missing", "0.0.0.0 and [::] stand for all interfaces");
  if (host.front() == '[') {
    if (host.back() != ']' || host.size() < 3) fail(address, "the bracket is not closed", form);
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    fail(address, "an IPv6 address must stand in brackets", form);
  }
  return {std::string(host == "localhost" ? "127.0.0.1" : host), std::to_string(number)};
}

}  // namespace

int open_listener(std::string_view address) {
  const host_and_port parts = split(address);
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  if (::getaddrinfo(parts.host.c_str(), parts.port.c_str(), &hints, &found) != 0) {
    fail(address, "\"" + parts.host + "\" is no IP address", "names other than localhost are not looked up");
  }
  const address_list where(found);
  const int descriptor = ::socket(where->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP);
  if (descriptor < 0) fail(address, std::strerror(errno), remedy_for(errno, parts.port));
  const int on = 1;
  if (::setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
      ::bind(descriptor, where->ai_addr, where->ai_addrlen) != 0 || ::listen(descriptor, SOMAXCONN) != 0) {
    const int error = errno;
    ::close(descriptor);
    fail(address, std::strerror(error), remedy_for(error, parts.port));
  }
  return descriptor;
}

void check_listener(int descriptor) {
  const std::string name = "descriptor " + std::to_string(descriptor);
  constexpr std::string_view remedy =
      "pass a listening TCP socket, as ListenStream=127.0.0.1:9180 of a .socket unit does";
  const auto option = [&](int which) {
    int value = 0;
    socklen_t size = sizeof(value);
    if (::getsockopt(descriptor, SOL_SOCKET, which, &value, &size) != 0) fail(name, std::strerror(errno), remedy);
    return value;
  };
  const int family = option(SO_DOMAIN);
  if ((family != AF_INET && family != AF_INET6) || option(SO_TYPE) != SOCK_STREAM) {
    fail(name, "it is no TCP socket", remedy);
  }
  if (option(SO_ACCEPTCONN) == 0) fail(name, "it does not listen", remedy);
  const int flags = ::fcntl(descriptor, F_GETFL);
  if (flags < 0 || ::fcntl(descriptor, F_SETFL, flags | O_NONBLOCK) != 0 ||
      ::fcntl(descriptor, F_SETFD, FD_CLOEXEC) != 0) {
    fail(name, std::strerror(errno), remedy);
  }
}

std::string address_text(const sockaddr_storage& address) {
  char text[INET6_ADDRSTRLEN] = "";
  if (address.ss_family == AF_INET) {
    sockaddr_in v4;
    std::memcpy(&v4, &address, sizeof(v4));
    ::inet_ntop(AF_INET, &v4.sin_addr, text, sizeof(text));
    return std::string(text) + ":" + std::to_string(ntohs(v4.sin_port));
  }
  if (address.ss_family == AF_INET6) {
    sockaddr_in6 v6;
    std::memcpy(&v6, &address, sizeof(v6));
    ::inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof(text));
    return "[" + std::string(text) + "]:" + std::to_string(ntohs(v6.sin6_port));
  }
  return "unknown";
}

std::string local_address(int descriptor) {
  sockaddr_storage address{};
  socklen_t size = sizeof(address);
  if (::getsockname(descriptor, reinterpret_cast<sockaddr*>(&address), &size) != 0) return "unknown";
  return address_text(address);
}

}  // namespace rtd::http
