// Sockets that listen: from an address in a configuration to a descriptor, with errors that tell what to do.
#pragma once

#include <sys/socket.h>

#include <string>
#include <string_view>

namespace rtd::http {

/// A listening, non-blocking, close-on-exec TCP socket, which the caller owns. `address` is "127.0.0.1:9180",
/// "[::1]:9180" or "localhost:9180", which stands for 127.0.0.1; other names are refused, so that starting never waits
/// for a name server. @throws listen_error
int open_listener(std::string_view address);

/// Checks that the descriptor is a TCP socket that listens, and makes it non-blocking and close-on-exec.
/// @throws listen_error
void check_listener(int descriptor);

/// "127.0.0.1:9180" or "[::1]:9180".
std::string address_text(const sockaddr_storage& address);
/// Where a socket is bound to, as address_text.
std::string local_address(int descriptor);

}  // namespace rtd::http
