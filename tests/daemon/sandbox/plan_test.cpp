#include "daemon/sandbox/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

namespace rtd::sandbox {
namespace {

class plan : public testing::Test {
 protected:
  plan() {
    char name[] = "/tmp/rtd-plan-XXXXXX";
    folder_ = mkdtemp(name);
    std::filesystem::permissions(folder_, std::filesystem::perms(0755));
    make_file(folder_ + "/host");
    make_file(folder_ + "/plugin.so");
    request_.host_binary = folder_ + "/host";
  }
  ~plan() override { std::filesystem::remove_all(folder_); }

  static void make_file(const std::string& path) { std::ofstream(path) << "x"; }

  const root_entry* entry(const confinement& of, const std::string& target) {
    const auto found =
        std::find_if(of.root.begin(), of.root.end(), [&](const auto& one) { return one.target == target; });
    return found == of.root.end() ? nullptr : &*found;
  }

  std::string folder_;
  plan_request request_;
};

TEST_F(plan, without_grants_there_is_a_network_of_its_own) {
  const confinement made = plan_confinement(request_);
  EXPECT_TRUE(made.own_network);
  EXPECT_FALSE(made.policy.listen_ports);
  EXPECT_TRUE(made.policy.datagrams);
  EXPECT_EQ(entry(made, "/etc/resolv.conf"), nullptr);
  EXPECT_EQ(entry(made, "/tmp"), nullptr);
  for (const char* absent : {"/proc", "/sys", "/usr", "/usr/bin", "/etc", "/dev", "/run"})
    EXPECT_EQ(entry(made, absent), nullptr) << absent;
}

TEST_F(plan, a_port_asks_for_the_machines_network) {
  request_.granted.connect = {{443}};
  const confinement made = plan_confinement(request_);
  EXPECT_FALSE(made.own_network);
  EXPECT_THAT(made.policy.connect_ports, testing::Optional(testing::ElementsAre(443)));
  EXPECT_THAT(made.policy.listen_ports, testing::Optional(testing::IsEmpty()));
  EXPECT_FALSE(made.policy.datagrams);
}

TEST_F(plan, every_port_is_no_rule) {
  request_.granted.connect = std::nullopt;
  EXPECT_FALSE(plan_confinement(request_).policy.connect_ports);
}

TEST_F(plan, code_is_read_only_and_data_no_code) {
  request_.plugins = {folder_ + "/plugin.so"};
  request_.granted.write = {folder_};
  const confinement made = plan_confinement(request_);
  const root_entry* plugin = entry(made, folder_ + "/plugin.so");
  ASSERT_NE(plugin, nullptr);
  EXPECT_TRUE(plugin->executable);
  EXPECT_FALSE(plugin->writable);
  const root_entry* data = entry(made, folder_);
  ASSERT_NE(data, nullptr);
  EXPECT_TRUE(data->writable);
  EXPECT_FALSE(data->executable);
  EXPECT_LT(data, plugin) << "a folder comes before what lies in it";
}

TEST_F(plan, what_lies_in_a_folder_is_not_bound_again) {
  request_.plugin_folders = {folder_};
  request_.plugins = {folder_ + "/plugin.so"};
  const confinement made = plan_confinement(request_);
  EXPECT_NE(entry(made, folder_), nullptr);
  EXPECT_EQ(entry(made, folder_ + "/plugin.so"), nullptr);
}

TEST_F(plan, symbolic_links_are_followed_outside) {
  std::filesystem::create_symlink(folder_ + "/plugin.so", folder_ + "/link.so");
  request_.plugins = {folder_ + "/link.so"};
  const confinement made = plan_confinement(request_);
  ASSERT_NE(entry(made, folder_ + "/link.so"), nullptr);
  EXPECT_EQ(entry(made, folder_ + "/link.so")->source, folder_ + "/plugin.so");
}

TEST_F(plan, what_is_granted_must_be_there_and_be_no_device) {
  request_.granted.read = {folder_ + "/absent"};
  EXPECT_THROW(plan_confinement(request_), launch_error);
  request_.granted.read = {"/dev/null"};
  EXPECT_THROW(plan_confinement(request_), launch_error);
  request_.granted.read = {};
  request_.plugins = {folder_ + "/absent.so"};  // its load will be refused with the reason
  EXPECT_NO_THROW(plan_confinement(request_));
}

TEST_F(plan, the_scratch_counts_in_the_hosts_own_root_only) {
  request_.granted.scratch = 1 << 20;
  const confinement made = plan_confinement(request_);
  ASSERT_NE(entry(made, "/tmp"), nullptr);
  EXPECT_EQ(entry(made, "/tmp")->size, 1U << 20U);
  const auto rule = std::find_if(made.policy.paths.begin(), made.policy.paths.end(),
                                 [](const auto& one) { return one.path == "/tmp"; });
  ASSERT_NE(rule, made.policy.paths.end());
  EXPECT_TRUE(rule->own_root);
}

}  // namespace
}  // namespace rtd::sandbox
