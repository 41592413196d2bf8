// The options that every TCP socket of the runtime has.
#pragma once

#include <netinet/in.h>
#include <netinet/tcp.h>

#include "runtime/net/system_calls.h"

namespace rt::net::detail {

/// TCP_NODELAY, and keep-alive probes after 15 s of silence, then each 15 s, 9 times: Go's defaults. A peer that is
/// gone without a word is found after two and a half minutes, so that it does not hold its green thread for ever.
/// Sockets that a listener with these options accepts have them too (tcp(7)), so they cost nothing for each connection.
inline void set_stream_options(int fd) noexcept {
  constexpr int probe_seconds = 15;
  constexpr int probe_count = 9;
  system_call::set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  system_call::set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  system_call::set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, probe_seconds);
  system_call::set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, probe_seconds);
  system_call::set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, probe_count);
}

}  // namespace rt::net::detail
