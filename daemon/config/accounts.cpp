#include "daemon/config/accounts.h"

#include <grp.h>
#include <pwd.h>
#include <sys/types.h>

#include <cerrno>
#include <cstddef>
#include <vector>

namespace rtd::config {
namespace {

/// Calls a get*nam_r function with a buffer that grows until the entry fits. A group can have thousands of members.
template <class Entry, class Function>
bool look_up(Function function, const std::string& name, Entry& entry) {
  constexpr std::size_t most_bytes = std::size_t{1} << 20;
  for (std::vector<char> buffer(1024); buffer.size() <= most_bytes; buffer.resize(buffer.size() * 4)) {
    Entry* found = nullptr;
    const int error = function(name.c_str(), &entry, buffer.data(), buffer.size(), &found);
    if (error != ERANGE) return found != nullptr;
  }
  return false;
}

}  // namespace

std::optional<std::uint32_t> find_user(const std::string& name) {
  passwd entry{};
  if (!look_up(getpwnam_r, name, entry)) return std::nullopt;
  return entry.pw_uid;
}

std::optional<std::uint32_t> find_group(const std::string& name) {
  group entry{};
  if (!look_up(getgrnam_r, name, entry)) return std::nullopt;
  return entry.gr_gid;
}

}  // namespace rtd::config
