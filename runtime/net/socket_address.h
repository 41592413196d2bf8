// The address of a socket as the system has it, and its text.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace rt::net::detail {

class socket_address {
 public:
  /// None: family AF_UNSPEC, an empty text.
  socket_address() noexcept;
  socket_address(const sockaddr* address, socklen_t size) noexcept;

  /// An IPv4 or IPv6 address in digits ("127.0.0.1", "fe80::1%eth0"); empty when it is neither. Never blocks.
  static std::optional<socket_address> from_digits(const std::string& host, std::uint16_t port);
  /// The unspecified address ("0.0.0.0" or "::") and the loopback address.
  static socket_address any(int family, std::uint16_t port) noexcept;
  static socket_address loopback(int family, std::uint16_t port) noexcept;
  /// The path of a unix socket, or an abstract name that begins with '@'. Empty when it is too long.
  static std::optional<socket_address> from_path(std::string_view path) noexcept;
  /// Most characters of a path, and of an abstract name with its '@'.
  static constexpr std::size_t longest_path = sizeof(sockaddr_un::sun_path) - 1;

  int family() const noexcept { return storage_.any.sa_family; }
  bool is_unspecified() const noexcept;
  /// Sets the port of an IPv4 or IPv6 address.
  void set_port(std::uint16_t port) noexcept;
  /// "127.0.0.1:80", "[::1]:80", "[fe80::1%eth0]:80", "/run/x.sock", "@name"; empty for none and for an unnamed socket.
  /// An IPv4 address in IPv6 clothes (::ffff:1.2.3.4) is written as IPv4.
  std::string text() const;
  bool operator==(const socket_address& other) const noexcept;

  const sockaddr* data() const noexcept { return &storage_.any; }
  socklen_t size() const noexcept { return size_; }
  /// For system calls that fill an address in: give these, then set_size what the call has made of the capacity.
  sockaddr* buffer() noexcept { return &storage_.any; }
  static constexpr socklen_t capacity() noexcept { return sizeof(storage); }
  void set_size(socklen_t size) noexcept { size_ = size < capacity() ? size : capacity(); }

 private:
  union storage {
    sockaddr any;
    sockaddr_in v4;
    sockaddr_in6 v6;
    sockaddr_un path;
  };
  storage storage_;
  socklen_t size_ = 0;
};

}  // namespace rt::net::detail
