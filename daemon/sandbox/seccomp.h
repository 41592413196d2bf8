// Which system calls the kernel takes from a host, in two stages.
//
// The first stage holds from before any plugin is loaded: their constructors run under it. It leaves to the loader what
// the loader needs, mapping code from files; everything else is final. The second one, sealing, takes that away: no new
// code comes into the process.
//
// Invariants:
//   1. A call that is refused is refused by the kernel. What the host's handler does (reporting) changes nothing of it.
//   2. Memory is never writable and executable at once, nor first one and then the other, except from a file.
//      (Files that a host can write lie on mounts that code cannot be mapped from.)
//   3. A filter is never loosened: stages add up in the kernel.
//   4. Calls that libraries make without asking (name service caches, netlink, posix_spawn) are refused quietly: some
//      are made with all signals blocked, and a report is a signal, which would then end the host.
// Rejected: ending the host at each refused call (one plugin's mistake would be every task's end; `on_violation` asks
// for it), user notification (a round trip to the supervisor for what is decided already, and no stack), a deny list
// (the next kernel's calls would be allowed).
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace rtd::sandbox {

struct filter_options {
  bool datagrams = true;  ///< UDP sockets may be made
  /// Calls that name files and addresses, and those that make UDP sockets, are handed to the handler of SIGSYS, unless
  /// their sixth argument is this number.
  std::optional<std::uint64_t> learn_key{};
};

/// Puts the calling process under the first stage. no_new_privs must be set. Empty text, or what failed.
std::string apply_seccomp(const filter_options& options);

/// The second stage, for all threads of the process. Empty text, or what failed.
std::string seal_seccomp();

/// The name of a system call of this machine by its number; its number as text when it has none. Allocates.
std::string call_name(long number);

/// A filter for a process that only waits for others to end.
std::string apply_reaper_seccomp();

}  // namespace rtd::sandbox
