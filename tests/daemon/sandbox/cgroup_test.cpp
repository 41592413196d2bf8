// A tree of plain files in the kernel's place: what is written where. That the kernel then limits is its own affair.
#include "daemon/sandbox/cgroup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>
#include <stdexcept>

namespace rtd::sandbox {
namespace {

namespace fs = std::filesystem;

class cgroups : public testing::Test {
 protected:
  cgroups() {
    char name[] = "/tmp/rtd-cgroup-XXXXXX";
    root_ = mkdtemp(name);
    own_ = root_ + "/sys/fs/cgroup/system.slice/rtd.service";
    fs::create_directories(own_ + "/supervisor");
    fs::create_directories(root_ + "/proc/self");
    write("/proc/self/mountinfo", "30 24 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n");
    write("/proc/self/cgroup", "1:name=systemd:/x\n0::/system.slice/rtd.service\n");
    for (const char* file : {"cgroup.procs", "cgroup.subtree_control", "cgroup.type", "supervisor/cgroup.procs"})
      std::ofstream(own_ + "/" + file);
    std::ofstream(own_ + "/cgroup.controllers") << "cpu memory pids io\n";
    std::ofstream(own_ + "/cgroup.procs") << "42\n";
  }
  ~cgroups() override { fs::remove_all(root_); }

  void write(const std::string& path, const std::string& text) { std::ofstream(root_ + path) << text; }
  static std::string read(const std::string& path) {
    std::ifstream file(path);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
  }
  // The kernel makes the files of a group together with it.
  std::string with_files(const std::string& name) {
    std::string group = own_ + "/" + name;
    fs::create_directory(group);
    for (const char* file :
         {"memory.max", "memory.swap.max", "memory.oom.group", "cpu.max", "pids.max", "io.weight", "io.max"})
      std::ofstream(group + "/" + file);
    return group;
  }
  std::string problem(const std::function<void()>& action) {
    try {
      action();
    } catch (const std::runtime_error& error) {
      return error.what();
    }
    return {};
  }

  std::string root_;
  std::string own_;
};

TEST_F(cgroups, limits_are_written) {
  cgroup_tree tree(root_);
  const std::string group = with_files("sandbox-a.1");
  EXPECT_EQ(tree.make("sandbox-a.1", {.memory = 64 << 20, .cpus = 1.5, .processes = 100}), group);
  EXPECT_EQ(read(group + "/memory.max"), "67108864");
  EXPECT_EQ(read(group + "/memory.swap.max"), "0");
  EXPECT_EQ(read(group + "/memory.oom.group"), "1");
  EXPECT_EQ(read(group + "/cpu.max"), "150000 100000");
  EXPECT_EQ(read(group + "/pids.max"), "100");
}

TEST_F(cgroups, input_and_output_are_limited_on_the_disks_of_what_is_granted) {
  cgroup_tree tree(root_);
  const std::string group = with_files("sandbox-a.1");
  struct stat status;
  ASSERT_EQ(::stat(root_.c_str(), &status), 0);
  const std::string number = std::to_string(major(status.st_dev)) + ':' + std::to_string(minor(status.st_dev));
  const group_limits limits{.io_weight = 50, .io_write = 1 << 20, .io_files = {root_, own_}};
  EXPECT_THAT(problem([&] { tree.make("sandbox-a.1", limits); }), testing::HasSubstr("is on no disk"));
  fs::create_directories(root_ + "/sys/dev/block/" + number);
  with_files("sandbox-a.1");
  tree.make("sandbox-a.1", limits);
  EXPECT_EQ(read(group + "/io.weight"), "50");
  EXPECT_EQ(read(group + "/io.max"), number + " rbps=max wbps=1048576");
  // A partition: the disk that it is a part of.
  fs::remove(root_ + "/sys/dev/block/" + number);
  fs::create_directories(root_ + "/sys/devices/disk/part");
  fs::create_directory_symlink(root_ + "/sys/devices/disk/part", root_ + "/sys/dev/block/" + number);
  write("/sys/devices/disk/part/partition", "1\n");
  write("/sys/devices/disk/dev", "8:16\n");
  with_files("sandbox-a.2");
  tree.make("sandbox-a.2", {.io_read = 5, .io_files = {root_}});
  EXPECT_EQ(read(own_ + "/sandbox-a.2/io.max"), "8:16 rbps=5 wbps=max");
}

TEST_F(cgroups, a_kernel_without_weights_of_input_and_output_is_named) {
  cgroup_tree tree(root_);
  fs::remove(with_files("sandbox-a.1") + "/io.weight");
  EXPECT_THAT(problem([&] { tree.make("sandbox-a.1", {.io_weight = 50}); }),
              testing::HasSubstr("CONFIG_BLK_CGROUP_IOCOST"));
}

TEST_F(cgroups, the_supervisor_makes_room_first) {
  cgroup_tree tree(root_);
  with_files("sandbox-a.1");
  tree.make("sandbox-a.1", {.processes = 5});
  EXPECT_EQ(read(own_ + "/supervisor/cgroup.procs"), "42");
  EXPECT_THAT(read(own_ + "/cgroup.subtree_control"), testing::HasSubstr("+pids"));
}

TEST_F(cgroups, a_controller_that_is_not_delegated_is_named) {
  std::ofstream(own_ + "/cgroup.controllers", std::ios::trunc) << "cpu pids\n";
  cgroup_tree tree(root_);
  EXPECT_THAT(problem([&] { tree.make("sandbox-a.1", {.memory = 1 << 30}); }),
              testing::HasSubstr("has no controller \"memory\""));
}

TEST_F(cgroups, without_version_2_there_is_none) {
  write("/proc/self/mountinfo", "30 24 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n");
  cgroup_tree tree(root_);
  EXPECT_EQ(problem([&] { tree.make("sandbox-a.1", {.memory = 1 << 30}); }), "no cgroup v2 is mounted");
}

TEST_F(cgroups, a_group_that_is_gone_is_not_delegated) {
  write("/proc/self/cgroup", "0::/other.slice\n");
  cgroup_tree tree(root_);
  EXPECT_THAT(problem([&] { tree.make("sandbox-a.1", {.memory = 1 << 30}); }), testing::HasSubstr("is not delegated"));
}

TEST_F(cgroups, a_container_sees_a_part_of_the_tree) {
  write("/proc/self/mountinfo", "30 24 0:26 /system.slice /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
  fs::rename(root_ + "/sys/fs/cgroup/system.slice/rtd.service", root_ + "/sys/fs/cgroup/rtd.service");
  own_ = root_ + "/sys/fs/cgroup/rtd.service";
  cgroup_tree tree(root_);
  const std::string group = with_files("sandbox-a.1");
  EXPECT_EQ(tree.make("sandbox-a.1", {.processes = 5}), group);
}

TEST_F(cgroups, kills_for_memory_are_counted) {
  const std::string group = with_files("sandbox-a.1");
  EXPECT_EQ(kills_for_memory(group), 0U);
  std::ofstream(group + "/memory.events") << "low 0\nhigh 0\nmax 12\noom 1\noom_kill 1\noom_group_kill 1\n";
  EXPECT_EQ(kills_for_memory(group), 1U);
}

TEST_F(cgroups, what_the_kernel_counts_is_read) {
  const std::string group = with_files("sandbox-a.1");
  EXPECT_EQ(counts_of(group).threads_refused, 0U);
  std::ofstream(group + "/pids.events") << "max 7\n";
  std::ofstream(group + "/cpu.stat") << "usage_usec 9\nnr_periods 5\nnr_throttled 3\nthrottled_usec 1500000\n";
  std::ofstream(group + "/io.pressure") << "some avg10=1.00 avg60=0.50 avg300=0.10 total=250000\n"
                                           "full avg10=0.00 avg60=0.00 avg300=0.00 total=200000\n";
  const group_counts counts = counts_of(group);
  EXPECT_EQ(counts.threads_refused, 7U);
  EXPECT_EQ(counts.cpu_throttles, 3U);
  EXPECT_DOUBLE_EQ(counts.cpu_throttled_seconds, 1.5);
  EXPECT_DOUBLE_EQ(counts.io_waited_seconds, 0.25);
}

}  // namespace
}  // namespace rtd::sandbox
