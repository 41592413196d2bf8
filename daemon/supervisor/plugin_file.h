// What the supervisor looks at before it lets a host load a plugin's file: who could have written it. The file itself
// is never opened here; its content is the confined host's business.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

namespace rtd::supervisor {

/// Which file it was: to see whether a path names another one by now.
struct file_identity {
  dev_t device = 0;
  ino_t inode = 0;
  off_t size = 0;
  std::int64_t changed_ns = 0;

  bool operator==(const file_identity&) const = default;
};

/// Checks that `path` is a regular file that belongs to root or to `owner` (the daemon's user), that nobody else may
/// write, in a folder that others may not change. @throws protocol::rpc_error (not_found or plugin_rejected) that names
/// the file and the remedy.
file_identity check_plugin_file(const std::string& path, uid_t owner);

}  // namespace rtd::supervisor
