// How many CPUs this process may use, and how much memory.
#pragma once

#include <cstdint>
#include <string>

namespace rt::os {

/// The number of CPUs in the calling thread's affinity mask, at least 1.
int affinity_cpus() noexcept;

/// The smallest CPU quota of this process's cgroup and all its ancestors (v2 cpu.max, v1 cpu.cfs_quota_us), in CPUs;
/// a negative number when there is none. `root` stands before every path ("" for the real system; tests give a tree of
/// their own). Never throws; what cannot be read is no limit.
double cgroup_cpu_quota(const std::string& root);

/// The smallest memory limit of this process's cgroup and all its ancestors (v2 memory.max, v1 memory.limit_in_bytes),
/// in bytes; 0 when there is none. `root` and errors as above.
std::uint64_t cgroup_memory_limit(const std::string& root);

/// affinity_cpus limited by the quota rounded up (but at least 1).
int usable_cpus() noexcept;

}  // namespace rt::os
