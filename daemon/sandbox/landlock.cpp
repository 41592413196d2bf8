#include "daemon/sandbox/landlock.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

#include "daemon/sandbox/descriptor.h"

namespace rtd::sandbox {
namespace {

// linux/landlock.h of the build machine may be older than the kernel that this runs on, so its numbers stand here.
struct ruleset_attributes {
  std::uint64_t files;
  std::uint64_t network;
  std::uint64_t scoped;
};
struct __attribute__((packed)) path_beneath {
  std::uint64_t allowed;
  std::int32_t parent;
};
struct net_port {
  std::uint64_t allowed;
  std::uint64_t port;
};
constexpr std::uint32_t version_flag = 1;
constexpr int rule_path_beneath = 1;
constexpr int rule_net_port = 2;

constexpr std::uint64_t execute = 1U << 0U;
constexpr std::uint64_t write_file = 1U << 1U;
constexpr std::uint64_t read_file = 1U << 2U;
constexpr std::uint64_t read_folder = 1U << 3U;
constexpr std::uint64_t remove_folder = 1U << 4U;
constexpr std::uint64_t remove_file = 1U << 5U;
constexpr std::uint64_t make_character_device = 1U << 6U;
constexpr std::uint64_t make_folder = 1U << 7U;
constexpr std::uint64_t make_file = 1U << 8U;
constexpr std::uint64_t make_socket = 1U << 9U;
constexpr std::uint64_t make_fifo = 1U << 10U;
constexpr std::uint64_t make_block_device = 1U << 11U;
constexpr std::uint64_t make_link = 1U << 12U;
constexpr std::uint64_t refer = 1U << 13U;
constexpr std::uint64_t truncate = 1U << 14U;
constexpr std::uint64_t device_control = 1U << 15U;
constexpr std::uint64_t bind_tcp = 1U << 0U;
constexpr std::uint64_t connect_tcp = 1U << 1U;
constexpr std::uint64_t abstract_sockets = 1U << 0U;
constexpr std::uint64_t signals = 1U << 1U;

constexpr std::uint64_t first_level_files = execute | write_file | read_file | read_folder | remove_folder |
                                            remove_file | make_character_device | make_folder | make_file |
                                            make_socket | make_fifo | make_block_device | make_link;
constexpr std::uint64_t of_a_file = write_file | read_file | truncate;

std::uint64_t handled_files(int level) noexcept {
  return first_level_files | (level >= 2 ? refer : 0) | (level >= 3 ? truncate : 0) | (level >= 5 ? device_control : 0);
}

std::uint64_t allowed(access how) noexcept {
  switch (how) {
    case access::read:
      return read_file | read_folder;
    case access::write:
      return read_file | read_folder | write_file | remove_folder | remove_file | make_folder | make_file | make_fifo |
             make_link | refer | truncate;
    case access::device:
      return read_file | write_file;
  }
  return 0;
}

std::string failed(const std::string& what) { return what + ": " + std::strerror(errno); }

std::string add_path(const descriptor& ruleset, const path_rule& rule, std::uint64_t handled) {
  const descriptor place(::open(rule.path.c_str(), O_PATH | O_CLOEXEC));
  if (!place) return rule.optional && (errno == ENOENT || errno == EACCES) ? "" : failed(rule.path);
  struct stat status {};
  if (::fstat(place.get(), &status) != 0) return failed(rule.path);
  std::uint64_t rights = allowed(rule.how) & handled;
  if (!S_ISDIR(status.st_mode)) rights &= of_a_file;
  const path_beneath beneath{rights, place.get()};
  if (::syscall(SYS_landlock_add_rule, ruleset.get(), rule_path_beneath, &beneath, 0) == 0) return {};
  return failed(rule.path);
}

std::string add_ports(const descriptor& ruleset, const std::vector<std::uint16_t>& ports, std::uint64_t right) {
  for (const std::uint16_t port : ports) {
    const net_port rule{right, port};
    if (::syscall(SYS_landlock_add_rule, ruleset.get(), rule_net_port, &rule, 0) != 0)
      return failed("port " + std::to_string(port));
  }
  return {};
}

}  // namespace

int landlock_level() noexcept {
  const long level = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, version_flag);
  return level > 0 ? static_cast<int>(level) : 0;
}

std::string apply_landlock(const host_policy& policy) {
  const int level = landlock_level();
  if (level == 0) return failed("landlock_create_ruleset");
  ruleset_attributes attributes{};
  attributes.files = handled_files(level);
  std::size_t size = sizeof attributes.files;
  if (level >= landlock_ports_level) {
    if (policy.listen_ports) attributes.network |= bind_tcp;
    if (policy.connect_ports) attributes.network |= connect_tcp;
    size += sizeof attributes.network;
  }
  if (level >= 6) {
    attributes.scoped = abstract_sockets | signals;
    size += sizeof attributes.scoped;
  }
  const descriptor ruleset(static_cast<int>(::syscall(SYS_landlock_create_ruleset, &attributes, size, 0)));
  if (!ruleset) return failed("landlock_create_ruleset");
  for (const path_rule& rule : policy.paths)
    if (std::string problem = add_path(ruleset, rule, attributes.files); !problem.empty()) return problem;
  std::string problem;
  if ((attributes.network & bind_tcp) != 0) problem = add_ports(ruleset, *policy.listen_ports, bind_tcp);
  if (problem.empty() && (attributes.network & connect_tcp) != 0)
    problem = add_ports(ruleset, *policy.connect_ports, connect_tcp);
  if (problem.empty() && ::syscall(SYS_landlock_restrict_self, ruleset.get(), 0) != 0)
    problem = failed("landlock_restrict_self");
  return problem;
}

}  // namespace rtd::sandbox
