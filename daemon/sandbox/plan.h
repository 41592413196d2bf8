// What a host may see and use, worked out from what its sandbox is granted.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "daemon/sandbox/launch.h"

namespace rtd::sandbox {

struct grants {
  std::vector<std::string> read;   ///< files and folders, absolute
  std::vector<std::string> write;  ///< the same
  /// TCP ports; nothing: every port. Empty lists in both: a network of its own, in which there is nobody.
  std::optional<std::vector<std::uint16_t>> listen{std::vector<std::uint16_t>{}};
  std::optional<std::vector<std::uint16_t>> connect{std::vector<std::uint16_t>{}};
  bool datagrams = false;     ///< UDP, in the machine's network
  std::uint64_t scratch = 0;  ///< bytes of /tmp in memory; 0: there is none

  /// Whether the machine's network is needed for it.
  bool needs_network() const noexcept;
};

struct plan_request {
  bool strict = true;
  std::string host_binary;
  std::vector<std::string> plugins;         ///< files that will be loaded
  std::vector<std::string> plugin_folders;  ///< folders from which plugins may be loaded later
  grants granted;
  bool dumpable = false;
};

/// Works out the namespaces, the root and the policy. Looks at the file system: what is not there and was not granted
/// by name is left out. @throws launch_error when something granted is not there.
confinement plan_confinement(const plan_request& request);

/// For a host that is only to tell what it uses.
confinement plan_learning();

/// Whether a host that the calling process starts may enter a folder, and so sees what comes there later: as nobody it
/// may not enter root's private ones. A file of one is bound alone, which needs no entering.
bool host_may_enter(const std::string& folder) noexcept;

/// Whether every host sees a path without a grant; `network`: one that has network grants.
bool is_seen_by_all(const std::string& path, bool network);

/// Whether the calling process may make namespaces and change its identity without a user namespace.
bool is_privileged() noexcept;

}  // namespace rtd::sandbox
