// Who is at the other end of a control connection, and what they may do.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "daemon/config/config.h"
#include "daemon/protocol/role.h"

namespace rtd::supervisor {

struct peer {
  pid_t pid = 0;  // for the audit only: a process id proves nothing
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;  // the supplementary ones
  /// False when the kernel did not say: such a peer has no role.
  bool known = false;
};

/// What the kernel recorded about the peer of a connected unix socket when it connected.
peer peer_of(int socket);

/// Root and the daemon's own user are admin; others have the highest role of the rules that name them. The overflow
/// user (65534), which stands for everybody from another user namespace, has none.
protocol::role role_of(const peer& who, const std::vector<config::role_rule>& rules, uid_t daemon_user);

/// "uid 1000, pid 4711", for the log.
std::string describe(const peer& who);

}  // namespace rtd::supervisor
