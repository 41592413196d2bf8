#include "daemon/sandbox/id_map.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>

namespace rtd::sandbox {
namespace {

std::string one_to_one(std::uint32_t id) { return std::to_string(id) + ' ' + std::to_string(id) + " 1"; }

int write_file(int proc, const char* path, std::string_view text) noexcept {
  const int file = ::openat(proc, path, O_WRONLY | O_CLOEXEC);
  if (file < 0) return errno;
  const int error = ::write(file, text.data(), text.size()) < 0 ? errno : 0;
  ::close(file);
  return error;
}

}  // namespace

id_map::id_map(std::uint32_t user, std::uint32_t group) : user_(one_to_one(user)), group_(one_to_one(group)) {}

int id_map::write(int proc) const noexcept {
  // A process that may drop a group could get at files that the group is kept from; so the map of groups is to be had
  // only without setgroups.
  if (const int error = write_file(proc, "self/setgroups", "deny"); error != 0) return error;
  if (const int error = write_file(proc, "self/uid_map", user_); error != 0) return error;
  return write_file(proc, "self/gid_map", group_);
}

}  // namespace rtd::sandbox
