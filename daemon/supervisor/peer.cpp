#include "daemon/supervisor/peer.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

namespace rtd::supervisor {
namespace {

constexpr uid_t overflow_user = 65534;

}  // namespace

peer peer_of(int socket) {
  peer result;
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) return result;
  result.pid = credentials.pid;
  result.uid = credentials.uid;
  result.gid = credentials.gid;
  // The first call tells how much room the list takes.
  std::vector<gid_t> groups(64);
  for (int attempt = 0; attempt < 2; ++attempt) {
    size = static_cast<socklen_t>(groups.size() * sizeof(gid_t));
    if (::getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &size) == 0) {
      groups.resize(size / sizeof(gid_t));
      result.groups = std::move(groups);
      break;
    }
    if (errno != ERANGE) break;
    groups.resize(size / sizeof(gid_t));
  }
  result.known = true;
  return result;
}

protocol::role role_of(const peer& who, const std::vector<config::role_rule>& rules, uid_t daemon_user) {
  using protocol::role;
  if (!who.known) return role::none;
  if (who.uid == 0 || who.uid == daemon_user) return role::admin;
  if (who.uid == overflow_user) return role::none;
  role best = role::none;
  for (const auto& rule : rules) {
    const bool matches = rule.is_group
                             ? rule.id == who.gid || std::ranges::find(who.groups, rule.id) != who.groups.end()
                             : rule.id == who.uid;
    if (matches) best = std::max(best, rule.role);
  }
  return best;
}

std::string describe(const peer& who) {
  if (!who.known) return "an unknown peer";
  return "uid " + std::to_string(who.uid) + ", pid " + std::to_string(who.pid);
}

}  // namespace rtd::supervisor
