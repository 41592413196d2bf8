#include "runtime/os/cpu.h"

#include <sched.h>

#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <vector>

namespace rt::os {

int affinity_cpus() noexcept {
  // Masks may be wider than cpu_set_t's 1024 bits: grow until the kernel accepts.
  for (int bits = 1024; bits <= 1 << 20; bits *= 4) {
    cpu_set_t* mask = CPU_ALLOC(static_cast<std::size_t>(bits));
    if (mask == nullptr) return 1;
    std::size_t size = CPU_ALLOC_SIZE(static_cast<std::size_t>(bits));
    int outcome = sched_getaffinity(0, size, mask);
    int error = errno;
    int count = outcome == 0 ? CPU_COUNT_S(size, mask) : 0;
    CPU_FREE(mask);
    if (outcome == 0) return count < 1 ? 1 : count;
    if (error != EINVAL) return 1;
  }
  return 1;
}

namespace {

struct mount_point {
  std::string root;  // which part of the hierarchy is mounted there
  std::string path;
  bool unified;
};

struct membership {
  std::string path;
  bool unified;
};

std::string first_line(const std::string& file) {
  std::ifstream stream(file);
  std::string line;
  std::getline(stream, line);
  return line;
}

bool names(const std::string& controllers, const std::string& wanted) {
  std::stringstream list(controllers);
  std::string one;
  while (std::getline(list, one, ',')) {
    if (one == wanted) return true;
  }
  return false;
}

// mountinfo escapes blanks and backslashes as \ooo.
std::string unescape(const std::string& text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      result += static_cast<char>(std::strtol(text.substr(i + 1, 3).c_str(), nullptr, 8));
      i += 3;
    } else {
      result += text[i];
    }
  }
  return result;
}

std::vector<mount_point> find_mounts(const std::string& root, const std::string& controller) {
  std::vector<mount_point> mounts;
  std::ifstream stream(root + "/proc/self/mountinfo");
  std::string line;
  while (std::getline(stream, line)) {
    std::size_t separator = line.find(" - ");
    if (separator == std::string::npos) continue;
    std::stringstream left(line.substr(0, separator));
    std::stringstream right(line.substr(separator + 3));
    std::string id, parent, device, mounted_root, path, type, source, options;
    left >> id >> parent >> device >> mounted_root >> path;
    right >> type >> source >> options;
    if (type == "cgroup2") {
      mounts.push_back({unescape(mounted_root), unescape(path), true});
    } else if (type == "cgroup" && names(options, controller)) {
      mounts.push_back({unescape(mounted_root), unescape(path), false});
    }
  }
  return mounts;
}

std::vector<membership> find_memberships(const std::string& root, const std::string& controller) {
  std::vector<membership> found;
  std::ifstream stream(root + "/proc/self/cgroup");
  std::string line;
  while (std::getline(stream, line)) {
    std::size_t first = line.find(':');
    std::size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    std::string controllers = line.substr(first + 1, second - first - 1);
    if (controllers.empty()) {
      found.push_back({line.substr(second + 1), true});
    } else if (names(controllers, controller)) {
      found.push_back({line.substr(second + 1), false});
    }
  }
  return found;
}

double quota_of_group(const std::string& directory, bool unified) {
  double quota = -1;
  double period = 100'000;  // microseconds, the kernel's default
  if (unified) {
    std::stringstream line(first_line(directory + "/cpu.max"));
    std::string limit;
    line >> limit;
    if (limit.empty() || limit == "max") return -1;
    quota = std::strtod(limit.c_str(), nullptr);
    line >> period;
  } else {
    std::string limit = first_line(directory + "/cpu.cfs_quota_us");
    if (limit.empty()) return -1;
    quota = std::strtod(limit.c_str(), nullptr);
    std::string length = first_line(directory + "/cpu.cfs_period_us");
    if (!length.empty()) period = std::strtod(length.c_str(), nullptr);
  }
  return quota > 0 && period > 0 ? quota / period : -1;
}

double memory_of_group(const std::string& directory, bool unified) {
  std::string limit = first_line(directory + (unified ? "/memory.max" : "/memory.limit_in_bytes"));
  if (limit.empty() || limit == "max") return -1;
  double bytes = std::strtod(limit.c_str(), nullptr);
  // The first version's word for "none" is the largest multiple of a page.
  constexpr double unlimited = 9e18;
  return bytes > 0 && bytes < unlimited ? bytes : -1;
}

// The least of what the calling process's groups and all of their ancestors say; -1: none of them says anything.
double least_of_groups(const std::string& root, const std::string& controller,
                       double (*of_group)(const std::string& directory, bool unified)) {
  double least = -1;
  std::vector<mount_point> mounts = find_mounts(root, controller);
  for (const membership& group : find_memberships(root, controller)) {
    for (const mount_point& mount : mounts) {
      if (mount.unified != group.unified) continue;
      // The group's path counts from the hierarchy's root; what is mounted may be a part of it (a container).
      std::string below = group.path;
      if (mount.root != "/" && below.compare(0, mount.root.size(), mount.root) == 0) below.erase(0, mount.root.size());
      while (true) {
        double one = of_group(root + mount.path + (below == "/" ? "" : below), mount.unified);
        if (one > 0 && (least < 0 || one < least)) least = one;
        if (below.empty() || below == "/") break;
        std::size_t slash = below.rfind('/');
        below.erase(slash == std::string::npos ? 0 : slash);
      }
    }
  }
  return least;
}

}  // namespace

double cgroup_cpu_quota(const std::string& root) { return least_of_groups(root, "cpu", &quota_of_group); }

std::uint64_t cgroup_memory_limit(const std::string& root) {
  double least = least_of_groups(root, "memory", &memory_of_group);
  return least < 0 ? 0 : static_cast<std::uint64_t>(least);
}

int usable_cpus() noexcept {
  int cpus = affinity_cpus();
  try {
    double quota = cgroup_cpu_quota("");
    if (quota > 0) {
      int limit = static_cast<int>(std::ceil(quota));
      if (limit < 1) limit = 1;
      if (limit < cpus) cpus = limit;
    }
  } catch (...) {
    return cpus;  // out of memory while reading: the affinity alone is right often enough
  }
  return cpus;
}

}  // namespace rt::os
