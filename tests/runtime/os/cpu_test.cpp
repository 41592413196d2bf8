#include "runtime/os/cpu.h"

#include <gtest/gtest.h>

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

namespace {

namespace fs = std::filesystem;

// A file tree that stands for the system's root.
class fake_root {
 public:
  fake_root() : path_(fs::temp_directory_path() / ("rt_cpu_test_" + std::to_string(::getpid()))) {
    fs::remove_all(path_);
  }
  ~fake_root() { fs::remove_all(path_); }
  void write(const std::string& name, const std::string& text) {
    fs::create_directories((path_.string() + name).substr(0, (path_.string() + name).rfind('/')));
    std::ofstream(path_.string() + name) << text;
  }
  std::string text() const { return path_.string(); }

 private:
  fs::path path_;
};

TEST(cpu, affinity_is_at_least_one_and_at_most_what_the_machine_has) {
  EXPECT_GE(rt::os::affinity_cpus(), 1);
  EXPECT_LE(rt::os::affinity_cpus(), static_cast<int>(std::thread::hardware_concurrency()));
  EXPECT_LE(rt::os::usable_cpus(), rt::os::affinity_cpus());
}

TEST(cpu, no_cgroup_is_no_limit) {
  fake_root root;
  EXPECT_LT(rt::os::cgroup_cpu_quota(root.text()), 0);
}

TEST(cpu, v2_takes_the_smallest_quota_of_all_ancestors) {
  fake_root root;
  root.write("/proc/self/cgroup", "0::/a/b/c\n");
  root.write("/proc/self/mountinfo", "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n");
  root.write("/sys/fs/cgroup/a/b/c/cpu.max", "max 100000\n");
  root.write("/sys/fs/cgroup/a/b/cpu.max", "150000 100000\n");
  root.write("/sys/fs/cgroup/a/cpu.max", "400000 100000\n");
  EXPECT_DOUBLE_EQ(rt::os::cgroup_cpu_quota(root.text()), 1.5);
}

TEST(cpu, v1_reads_quota_and_period) {
  fake_root root;
  root.write("/proc/self/cgroup", "4:cpu,cpuacct:/x\n3:memory:/y\n");
  root.write("/proc/self/mountinfo",
             "31 23 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
             "32 23 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n");
  root.write("/sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_quota_us", "50000\n");
  root.write("/sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_period_us", "200000\n");
  root.write("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
  EXPECT_DOUBLE_EQ(rt::os::cgroup_cpu_quota(root.text()), 0.25);
}

TEST(cpu, a_container_sees_only_the_mounted_part_of_the_hierarchy) {
  fake_root root;
  root.write("/proc/self/cgroup", "0::/docker/1234/inner\n");
  root.write("/proc/self/mountinfo", "30 23 0:26 /docker/1234 /sys/fs/my\\040group rw - cgroup2 cgroup2 rw\n");
  root.write("/sys/fs/my group/inner/cpu.max", "300000 100000\n");
  EXPECT_DOUBLE_EQ(rt::os::cgroup_cpu_quota(root.text()), 3);
}

TEST(cpu, unreadable_and_senseless_files_are_no_limit) {
  fake_root root;
  root.write("/proc/self/cgroup", "garbage\n0::/a\n:::\n");
  root.write("/proc/self/mountinfo", "short\n30 23 0:26 / /cg rw - cgroup2 cgroup2 rw\n");
  root.write("/cg/a/cpu.max", "elephant 0\n");
  EXPECT_LT(rt::os::cgroup_cpu_quota(root.text()), 0);
}

TEST(memory, no_cgroup_is_no_limit) {
  fake_root root;
  EXPECT_EQ(rt::os::cgroup_memory_limit(root.text()), 0U);
}

TEST(memory, the_smallest_limit_of_all_ancestors_counts) {
  fake_root root;
  root.write("/proc/self/cgroup", "0::/a/b/c\n");
  root.write("/proc/self/mountinfo", "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n");
  root.write("/sys/fs/cgroup/a/b/c/memory.max", "max\n");
  root.write("/sys/fs/cgroup/a/b/memory.max", "134217728\n");
  root.write("/sys/fs/cgroup/a/memory.max", "1073741824\n");
  EXPECT_EQ(rt::os::cgroup_memory_limit(root.text()), 128U << 20);
  EXPECT_LT(rt::os::cgroup_cpu_quota(root.text()), 0);
}

TEST(memory, the_first_versions_word_for_no_limit_is_none) {
  fake_root root;
  root.write("/proc/self/cgroup", "4:cpu,cpuacct:/x\n3:memory:/y\n");
  root.write("/proc/self/mountinfo",
             "31 23 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
             "32 23 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n");
  root.write("/sys/fs/cgroup/memory/y/memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_EQ(rt::os::cgroup_memory_limit(root.text()), 0U);
  root.write("/sys/fs/cgroup/memory/y/memory.limit_in_bytes", "67108864\n");
  EXPECT_EQ(rt::os::cgroup_memory_limit(root.text()), 64U << 20);
}

}  // namespace
