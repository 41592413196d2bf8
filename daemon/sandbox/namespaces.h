// The layers that take the rest of the machine out of a host's sight.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "daemon/sandbox/layer.h"

namespace rtd::sandbox {

/// Something that the host's root contains.
struct root_entry {
  enum class kind : std::uint8_t {
    folder,         ///< bound from the real one with all that is mounted below it
    file,           ///< bound from the real one
    device,         ///< bound from the real one, which must be a device
    symbolic_link,  ///< with `source` as its text
    scratch,        ///< an empty folder in memory, at most `size` bytes
  };
  kind what = kind::folder;
  std::string source;  ///< the real path, without symbolic links in it
  std::string target;  ///< where the host finds it, absolute
  bool writable = false;
  bool executable = false;
  /// Left out where the new namespaces do not have it: before Linux 6.6, /proc/sys/net/core is empty in the network of
  /// a user without privileges.
  bool optional = false;
  std::uint64_t size = 0;
};

/// "user_namespace": what a supervisor without privileges needs for all the others. The process keeps its own user and
/// group, which are the only ones that exist in it.
std::unique_ptr<const layer> make_user_namespace_layer(std::uint32_t user, std::uint32_t group);

/// "mount_namespace": a root of its own in memory that has these entries and nothing else, read-only itself. Entries
/// must be in an order in which a folder comes before what lies in it.
std::unique_ptr<const layer> make_root_layer(std::vector<root_entry> entries);

/// "pid_namespace", "network_namespace", "ipc_namespace", "uts_namespace". The first one counts for children only.
std::unique_ptr<const layer> make_pid_namespace_layer();
std::unique_ptr<const layer> make_network_namespace_layer();
std::unique_ptr<const layer> make_ipc_namespace_layer();
std::unique_ptr<const layer> make_uts_namespace_layer();

}  // namespace rtd::sandbox
