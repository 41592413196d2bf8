// The network floor's figures, for rt::runtime_stats (its fields net_*).
#pragma once

#include <cstdint>

namespace rt::net::detail {

struct net_totals {
  std::uint64_t descriptors = 0;      ///< open sockets
  std::uint64_t waiting_readers = 0;  ///< green threads that wait to read or to accept
  std::uint64_t waiting_writers = 0;  ///< green threads that wait to write or to connect
  std::uint64_t polls = 0;            ///< calls of epoll_wait since the process started
  std::uint64_t events = 0;           ///< events they returned
};

/// Each figure is right at some moment during the call. Any thread may call it; never blocks. Zeros before the first
/// use.
net_totals read_net_totals() noexcept;

}  // namespace rt::net::detail
