#include "runtime/net/socket_address.h"

#include <arpa/inet.h>
#include <net/if.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstring>

namespace rt::net::detail {

socket_address::socket_address() noexcept { std::memset(&storage_, 0, sizeof storage_); }

socket_address::socket_address(const sockaddr* address, socklen_t size) noexcept : socket_address() {
  size_ = std::min(size, capacity());
  std::memcpy(&storage_, address, size_);
}

std::optional<socket_address> socket_address::from_digits(const std::string& host, std::uint16_t port) {
  socket_address result;
  if (inet_pton(AF_INET, host.c_str(), &result.storage_.v4.sin_addr) == 1) {
    result.storage_.v4.sin_family = AF_INET;
    result.size_ = sizeof(sockaddr_in);
    result.set_port(port);
    return result;
  }
  std::size_t percent = host.find('%');
  if (inet_pton(AF_INET6, host.substr(0, percent).c_str(), &result.storage_.v6.sin6_addr) != 1) return std::nullopt;
  if (percent != std::string::npos) {
    // The zone of a link-local address: the name or the number of an interface.
    std::string zone = host.substr(percent + 1);
    unsigned int index = if_nametoindex(zone.c_str());
    if (index == 0) {
      auto [end, error] = std::from_chars(zone.data(), zone.data() + zone.size(), index);
      if (error != std::errc() || end != zone.data() + zone.size() || index == 0) return std::nullopt;
    }
    result.storage_.v6.sin6_scope_id = index;
  }
  result.storage_.v6.sin6_family = AF_INET6;
  result.size_ = sizeof(sockaddr_in6);
  result.set_port(port);
  return result;
}

socket_address socket_address::any(int family, std::uint16_t port) noexcept {
  socket_address result;
  result.storage_.any.sa_family = static_cast<sa_family_t>(family);
  result.size_ = family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
  result.set_port(port);
  return result;
}

socket_address socket_address::loopback(int family, std::uint16_t port) noexcept {
  socket_address result = any(family, port);
  if (family == AF_INET) {
    result.storage_.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  } else {
    result.storage_.v6.sin6_addr = in6addr_loopback;
  }
  return result;
}

std::optional<socket_address> socket_address::from_path(std::string_view path) noexcept {
  socket_address result;
  if (path.empty() || path.size() > longest_path) return std::nullopt;
  result.storage_.path.sun_family = AF_UNIX;
  std::memcpy(result.storage_.path.sun_path, path.data(), path.size());
  bool abstract = path.front() == '@';
  if (abstract) result.storage_.path.sun_path[0] = '\0';
  // An abstract name is all bytes that the size tells; a path ends with a null character.
  result.size_ = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + (abstract ? 0 : 1));
  return result;
}

bool socket_address::is_unspecified() const noexcept {
  if (family() == AF_INET) return storage_.v4.sin_addr.s_addr == htonl(INADDR_ANY);
  if (family() == AF_INET6) return IN6_IS_ADDR_UNSPECIFIED(&storage_.v6.sin6_addr);
  return false;
}

void socket_address::set_port(std::uint16_t port) noexcept {
  if (family() == AF_INET) storage_.v4.sin_port = htons(port);
  if (family() == AF_INET6) storage_.v6.sin6_port = htons(port);
}

std::string socket_address::text() const {
  char digits[INET6_ADDRSTRLEN];
  if (family() == AF_INET) {
    inet_ntop(AF_INET, &storage_.v4.sin_addr, digits, sizeof digits);
    return std::string(digits) + ':' + std::to_string(ntohs(storage_.v4.sin_port));
  }
  if (family() == AF_INET6) {
    std::string port = std::to_string(ntohs(storage_.v6.sin6_port));
    const in6_addr& address = storage_.v6.sin6_addr;
    if (IN6_IS_ADDR_V4MAPPED(&address)) {
      inet_ntop(AF_INET, address.s6_addr + 12, digits, sizeof digits);
      return std::string(digits) + ':' + port;
    }
    inet_ntop(AF_INET6, &address, digits, sizeof digits);
    std::string host = digits;
    if (storage_.v6.sin6_scope_id != 0) {
      char name[IF_NAMESIZE];
      bool known = if_indextoname(storage_.v6.sin6_scope_id, name) != nullptr;
      host += '%' + (known ? std::string(name) : std::to_string(storage_.v6.sin6_scope_id));
    }
    return '[' + host + "]:" + port;
  }
  constexpr std::size_t before_path = offsetof(sockaddr_un, sun_path);
  if (family() == AF_UNIX && size_ > before_path) {
    const char* path = storage_.path.sun_path;
    std::size_t length = size_ - before_path;
    if (path[0] == '\0') return '@' + std::string(path + 1, length - 1);
    return std::string(path, strnlen(path, length));
  }
  return {};
}

bool socket_address::operator==(const socket_address& other) const noexcept {
  return size_ == other.size_ && std::memcmp(&storage_, &other.storage_, size_) == 0;
}

}  // namespace rt::net::detail
