// Sockets that listen already, opened by somebody who keeps them when whoever accepts on them is replaced.
#pragma once

#include "runtime/net/socket_address.h"

namespace rt::net::detail {

/// Asked by rt::net::listen before it opens a socket: a descriptor that listens on the address, which is the caller's
/// from then on; -1 when nobody keeps one for the calling green thread. Does not block.
using listener_keeper = int (*)(const socket_address& address) noexcept;

/// Before the first call of rt::net::listen that is to find one.
void set_listener_keeper(listener_keeper keeper) noexcept;

}  // namespace rt::net::detail
