// Limits of a host as a whole, by the kernel's control groups (version 2).
//
// The supervisor has been given a part of the tree (systemd: Delegate=yes). A group with processes can have no limited
// groups below it, so it first moves itself to a group of its own, `supervisor`; each host gets another one, for as
// long as it lives.
//
// Rejected: version 1 (two places for each limit, no way to give a part of it away safely), clone3 with a group (some
// units' filters answer ENOSYS; the child writes itself in before it does anything).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace rtd::sandbox {

struct group_limits {
  std::optional<std::uint64_t> memory{};     // bytes; nothing is swapped out beyond it
  std::optional<double> cpus{};              // CPUs' worth of time
  std::optional<std::uint64_t> processes{};  // processes and threads
  std::optional<std::uint64_t> io_weight{};  // its part of a disk that is busy, 1 to 10000
  // Bytes a second, of each disk on which one of these files lies.
  std::optional<std::uint64_t> io_read{};
  std::optional<std::uint64_t> io_write{};
  std::vector<std::string> io_files{};
  bool any_io() const noexcept { return io_weight || io_read || io_write; }
  bool any() const noexcept { return memory || cpus || processes || any_io(); }
};

/// How often the group's memory limit ended a process.
std::uint64_t kills_for_memory(const std::string& group);

/// What a group has counted since it was made; what its kernel does not count is 0.
struct group_counts {
  std::uint64_t threads_refused = 0;  // starts of processes and threads, for its limit on them
  std::uint64_t cpu_throttles = 0;    // periods of 100 ms that it had used up before they were over
  double cpu_throttled_seconds = 0;   // that its threads waited for the next one
  double io_waited_seconds = 0;       // in which one of its threads or more waited for input or output
};
group_counts counts_of(const std::string& group);

/// The part of the tree that this process may rule over.
class cgroup_tree {
 public:
  /// `root` stands before every path: "" for the real system, a folder of their own in tests.
  explicit cgroup_tree(std::string root);

  /// Makes a group with these limits and returns its folder. Moves the supervisor out of the way at its first call.
  /// @throws std::runtime_error in words: there is no version 2, it is not delegated, a controller is missing, a file
  /// lies on no disk.
  std::string make(const std::string& name, const group_limits& limits);

  /// Kills what is left in a group of make() and removes it. Gives up quietly when it cannot be removed.
  static void remove(const std::string& group) noexcept;

 private:
  void find();
  void make_room();
  void enable(const char* controller);
  std::string disk_of(const std::string& file) const;
  void limit_io(const std::string& group, const group_limits& limits) const;

  std::string root_;
  std::string own_;  // the folder of the delegated group
};

}  // namespace rtd::sandbox
