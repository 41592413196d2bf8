#include "daemon/sandbox/cgroup.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <set>
#include <sstream>
#include <stdexcept>
#include <vector>

#include "daemon/sandbox/descriptor.h"

namespace rtd::sandbox {
namespace {

constexpr std::uint64_t period = 100'000;  // microseconds, the kernel's default
constexpr int remove_attempts = 50;        // of a millisecond each: a killed group is empty within a few

std::string read_text(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

void write_text(const std::string& path, const std::string& text) {
  const descriptor file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!file || ::write(file.get(), text.data(), text.size()) < 0)
    throw std::runtime_error(path + ": " + std::strerror(errno));
}

// The value of a line "key value".
std::uint64_t value_of(const std::string& text, const std::string& key) {
  std::istringstream lines(text);
  std::string name;
  std::uint64_t value = 0;
  while (lines >> name >> value)
    if (name == key) return value;
  return 0;
}

// Microseconds, of the line "some avg10=0.00 avg60=0.00 avg300=0.00 total=0".
std::uint64_t total_pressure(const std::string& text) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t at = line.find("total=");
    if (line.starts_with("some ") && at != std::string::npos) return std::strtoull(line.c_str() + at + 6, nullptr, 10);
  }
  return 0;
}

struct mounted {
  std::string root;
  std::string path;
};

std::optional<mounted> find_mount(const std::string& root) {
  std::istringstream lines(read_text(root + "/proc/self/mountinfo"));
  for (std::string line; std::getline(lines, line);) {
    const std::size_t separator = line.find(" - cgroup2 ");
    if (separator == std::string::npos) continue;
    std::istringstream fields(line);
    std::string id, parent, device;
    mounted result;
    if (fields >> id >> parent >> device >> result.root >> result.path) return result;
  }
  return std::nullopt;
}

std::string find_group(const std::string& root) {
  std::istringstream lines(read_text(root + "/proc/self/cgroup"));
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with("0::")) return line.substr(3);
  return {};
}

}  // namespace

std::uint64_t kills_for_memory(const std::string& group) {
  return value_of(read_text(group + "/memory.events"), "oom_kill");
}

group_counts counts_of(const std::string& group) {
  constexpr double microsecond = 1e-6;
  const std::string cpu = read_text(group + "/cpu.stat");
  return {
      .threads_refused = value_of(read_text(group + "/pids.events"), "max"),
      .cpu_throttles = value_of(cpu, "nr_throttled"),
      .cpu_throttled_seconds = microsecond * static_cast<double>(value_of(cpu, "throttled_usec")),
      .io_waited_seconds = microsecond * static_cast<double>(total_pressure(read_text(group + "/io.pressure"))),
  };
}

cgroup_tree::cgroup_tree(std::string root) : root_(std::move(root)) {}

void cgroup_tree::find() {
  const auto mount = find_mount(root_);
  std::string group = find_group(root_);
  if (!mount || group.empty()) throw std::runtime_error("no cgroup v2 is mounted");
  if (mount->root != "/" && group.starts_with(mount->root)) group.erase(0, mount->root.size());
  own_ = root_ + mount->path + (group == "/" ? "" : group);
  if (::access((own_ + "/cgroup.procs").c_str(), W_OK) != 0 || ::access(own_.c_str(), W_OK) != 0)
    throw std::runtime_error(own_ + " is not delegated: " + std::strerror(errno));
}

// Only once: afterwards the supervisor's own group is the one that was made here.
void cgroup_tree::make_room() {
  find();
  const std::string own_place = own_ + "/supervisor";
  if (::mkdir(own_place.c_str(), 0755) != 0 && errno != EEXIST)
    throw std::runtime_error(own_place + ": " + std::strerror(errno));
  // All that is in the group has to move: under a service manager that is this process and what it started.
  std::istringstream processes(read_text(own_ + "/cgroup.procs"));
  // The root of the whole tree may keep its processes, and has more of them than are ours to move.
  if (struct stat status{}; ::stat((own_ + "/cgroup.type").c_str(), &status) == 0)
    for (std::string pid; processes >> pid;) write_text(own_place + "/cgroup.procs", pid);
}

void cgroup_tree::enable(const char* controller) {
  std::istringstream enabled(read_text(own_ + "/cgroup.subtree_control"));
  for (std::string one; enabled >> one;)
    if (one == controller) return;
  std::istringstream available(read_text(own_ + "/cgroup.controllers"));
  for (std::string one; available >> one;)
    if (one == controller) return write_text(own_ + "/cgroup.subtree_control", std::string("+") + controller);
  throw std::runtime_error(own_ + " has no controller \"" + controller + "\"");
}

// The number of the whole disk, "8:0": the kernel limits no partitions.
std::string cgroup_tree::disk_of(const std::string& file) const {
  struct stat status;
  if (::stat(file.c_str(), &status) != 0) throw std::runtime_error(file + ": " + std::strerror(errno));
  std::string number = std::to_string(major(status.st_dev)) + ':' + std::to_string(minor(status.st_dev));
  const std::string device = root_ + "/sys/dev/block/" + number;
  if (::access(device.c_str(), F_OK) != 0) {
    throw std::runtime_error(file + " is on no disk whose input and output can be limited (device " + number +
                             "); leave out limits.io_read and io_write, or grant folders of a disk");
  }
  if (::access((device + "/partition").c_str(), F_OK) != 0) return number;
  std::string whole = read_text(device + "/../dev");
  while (!whole.empty() && whole.back() == '\n') whole.pop_back();
  return whole;
}

void cgroup_tree::limit_io(const std::string& group, const group_limits& limits) const {
  if (limits.io_weight) {
    if (::access((group + "/io.weight").c_str(), F_OK) != 0)
      throw std::runtime_error(group + " has no io.weight: the kernel is built without CONFIG_BLK_CGROUP_IOCOST");
    write_text(group + "/io.weight", std::to_string(*limits.io_weight));
  }
  if (!limits.io_read && !limits.io_write) return;
  std::set<std::string> disks;
  for (const std::string& file : limits.io_files) disks.insert(disk_of(file));
  const auto rate = [](const std::optional<std::uint64_t>& most) { return most ? std::to_string(*most) : "max"; };
  // One line a call, as the kernel wants it.
  for (const std::string& disk : disks)
    write_text(group + "/io.max", disk + " rbps=" + rate(limits.io_read) + " wbps=" + rate(limits.io_write));
}

std::string cgroup_tree::make(const std::string& name, const group_limits& limits) {
  if (own_.empty()) {
    try {
      make_room();
    } catch (...) {
      own_.clear();
      throw;
    }
  }
  if (limits.memory) enable("memory");
  if (limits.cpus) enable("cpu");
  if (limits.processes) enable("pids");
  if (limits.any_io()) enable("io");
  std::string group = own_ + "/" + name;
  if (::mkdir(group.c_str(), 0755) != 0 && errno != EEXIST)
    throw std::runtime_error(group + ": " + std::strerror(errno));
  try {
    if (limits.memory) {
      write_text(group + "/memory.max", std::to_string(*limits.memory));
      // Without these files the kernel has no swap, or is older than the grouping of victims: the limit holds all the
      // same.
      if (::access((group + "/memory.swap.max").c_str(), F_OK) == 0) write_text(group + "/memory.swap.max", "0");
      if (::access((group + "/memory.oom.group").c_str(), F_OK) == 0) write_text(group + "/memory.oom.group", "1");
    }
    if (limits.cpus) {
      const auto quota = static_cast<std::uint64_t>(std::llround(*limits.cpus * static_cast<double>(period)));
      write_text(group + "/cpu.max",
                 std::to_string(std::max<std::uint64_t>(quota, 1000)) + ' ' + std::to_string(period));
    }
    if (limits.processes) write_text(group + "/pids.max", std::to_string(*limits.processes));
    limit_io(group, limits);
  } catch (...) {
    remove(group);
    throw;
  }
  return group;
}

void cgroup_tree::remove(const std::string& group) noexcept {
  if (const descriptor kill(::open((group + "/cgroup.kill").c_str(), O_WRONLY | O_CLOEXEC)); kill)
    if (::write(kill.get(), "1", 1) < 0) return;
  for (int attempt = 0; attempt < remove_attempts && ::rmdir(group.c_str()) != 0 && errno == EBUSY; ++attempt)
    ::usleep(1000);
}

}  // namespace rtd::sandbox
