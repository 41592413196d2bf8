// Landlock: what of the file system and of the network a process may use, as the process itself says.
//
// A belt beside the mount and network namespaces: it holds where those are missing, and it tells TCP ports apart, which
// a network namespace cannot. What it does not cover: looking at a file's attributes, UDP, sockets that are open
// already, addresses (a port is a port on all of them).
#pragma once

#include <string>
#include <string_view>

#include "daemon/sandbox/policy.h"

namespace rtd::sandbox {

/// The kernel's level (ABI), 0 where there is no Landlock. 1: files. 2: renames across folders. 3: truncation. 4: TCP
/// ports. 5: device ioctls. 6: abstract unix sockets and signals.
int landlock_level() noexcept;

/// The level that knows TCP ports.
inline constexpr int landlock_ports_level = 4;

/// Confines the calling thread and the threads that it starts later; no_new_privs must be set. Rules beyond the
/// kernel's level are left out. Empty text, or what failed.
std::string apply_landlock(const host_policy& policy);

}  // namespace rtd::sandbox
