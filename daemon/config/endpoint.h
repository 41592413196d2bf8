// Addresses to listen on: "127.0.0.1:9180", "[::1]:9180", "localhost:0".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace rtd::config {

/// A numeric IP address and a TCP port.
struct endpoint {
  std::string address;     ///< "127.0.0.1", "::1"; as inet_pton reads it, IPv6 without brackets
  std::uint16_t port = 0;  ///< 0: the system picks a free one

  bool operator==(const endpoint&) const = default;
};

/// Reads ADDRESS:PORT. The address is an IPv4 address, an IPv6 address in square brackets, or "localhost", which stands
/// for 127.0.0.1. Other names are refused, so that reading a configuration never waits for a name server.
/// @return nothing when the text is no such thing; `error`, when given, then says why.
std::optional<endpoint> parse_endpoint(std::string_view text, std::string* error = nullptr);

/// ADDRESS:PORT, with brackets where they are needed.
std::string format_endpoint(const endpoint& what);

}  // namespace rtd::config
