// What a host does to itself before it loads anything: the part of its confinement that has to happen after exec.
//
// The supervisor decides, the host carries out: the policy comes as JSON in a sealed memory file, so that nothing of
// the supervisor's configuration but this reaches the host.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rtd::sandbox {

// Descriptors that a host is started with, beside the standard streams.
inline constexpr int link_descriptor = 3;     // the stream socket to the supervisor
inline constexpr int threads_descriptor = 4;  // the host's own /proc/self/stat, which tells its number of threads
inline constexpr int proc_descriptor = 5;     // a handle of /proc, for the id maps; closed before anything is loaded
inline constexpr int policy_descriptor = 6;   // the policy

enum class access : std::uint8_t {
  read,    ///< files may be read, folders listed
  write,   ///< files may also be made, changed and removed; no device, no execution
  device,  ///< a device file that is read and written
};

struct path_rule {
  std::string path;  ///< as the host sees it
  access how = access::read;
  bool optional = false;  ///< not there: nothing is allowed, and nothing is wrong
  bool own_root = false;  ///< counts only where the host has a root of its own: elsewhere it is everybody's
};

/// Who a host becomes when the supervisor has the privilege to change that.
struct account {
  std::uint32_t user = 0;
  std::uint32_t group = 0;
};

struct host_policy {
  bool strict = true;  ///< a layer that cannot be had ends the host
  std::optional<account> become{};
  /// Nothing is taken away; the calls that name files and addresses are handed over with this number as the key
  /// (daemon/host/learning.h).
  std::optional<std::uint64_t> learn_key{};
  bool dumpable = false;  ///< a core dump may be written
  std::vector<path_rule> paths{};
  /// The TCP ports that may be listened on and connected to; nothing: all of them.
  std::optional<std::vector<std::uint16_t>> listen_ports{};
  std::optional<std::vector<std::uint16_t>> connect_ports{};
  bool datagrams = true;  ///< UDP sockets: harmless in a network of its own
};

std::string to_text(const host_policy& policy);
/// @throws std::runtime_error when the text is no policy.
host_policy policy_from(std::string_view text);

}  // namespace rtd::sandbox
