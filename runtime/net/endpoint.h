// From what a caller writes ("tcp", "localhost:80") to socket addresses.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "runtime/net/failure.h"
#include "runtime/net/socket_address.h"

namespace rt::net::detail {

enum class network : std::uint8_t { tcp, tcp4, tcp6, unix_domain };

/// What the address is wanted for; it decides what a missing host means.
enum class purpose : std::uint8_t { listen, dial };

struct endpoints {
  network kind = network::tcp;
  bool host_given = true;                 ///< false: ":port", all addresses (listen) or this machine (dial)
  bool looked_up = false;                 ///< the addresses come from a host name
  std::vector<socket_address> addresses;  ///< never empty; in the order in which to try them
};

/// Parses the network and the address, and looks the host up when it is a name: then it parks up to `deadline` (steady
/// clock, ns), and throws rt::cancelled. The failure's text names the value at fault and what is expected.
failure find_endpoints(std::string_view network_name, std::string_view address, purpose use, std::int64_t deadline,
                       endpoints& result);

/// "listen tcp :80", and the detail behind it, for the message of an exception.
std::string describe(std::string_view operation, std::string_view network_name, std::string_view address,
                     const failure& why);

}  // namespace rt::net::detail
