#include "daemon/supervisor/grant_proposal.h"

#include <gtest/gtest.h>

namespace rtd::supervisor {
namespace {

using nlohmann::json;

json proposed(const json& learned, bool ports_apart = true) {
  return propose_grants(learned, {{"p", "/opt/p.so"}}, "/opt/rtd-host", ports_apart);
}

TEST(grant_proposal, what_every_sandbox_has_is_left_out) {
  const json learned = {{"read",
                         {"/etc/ld.so.cache", "/usr/lib/x86_64-linux-gnu/libm.so.6", "/lib/libz.so", "/opt/p.so",
                          "/opt/rtd-host", "/proc/self/maps", "/sys/x", "/dev/null", "/usr/share/zoneinfo/UTC"}},
                        {"write", {"/tmp", "/tmp/x"}}};
  EXPECT_EQ(proposed(learned), json::object());
}

TEST(grant_proposal, files_of_the_network_come_with_it) {
  const json learned = {{"read", {"/etc/hosts", "/etc/passwd"}}};
  EXPECT_EQ(proposed(learned), (json{{"read", {"/etc/hosts", "/etc/passwd"}}}));
  const json with_network = {{"read", {"/etc/hosts"}}, {"connect", {"127.0.0.1:5432"}}, {"udp", true}};
  EXPECT_EQ(proposed(with_network), (json{{"connect", {"127.0.0.1:5432"}}, {"udp", true}}));
}

TEST(grant_proposal, is_what_the_kernel_can_do) {
  const json learned = {{"listen", {"127.0.0.1:80", "[::1]:80"}}, {"connect", {"127.0.0.1:5432"}}};
  EXPECT_EQ(proposed(learned), learned);
  const json everything = {{"listen", {"*"}}, {"connect", {"*"}}};
  EXPECT_EQ(proposed(learned, false), everything);
  EXPECT_EQ(proposed({{"connect", {"127.0.0.1:5432"}}}, false), everything);
  EXPECT_EQ(proposed({{"read", {"/data/in"}}}, false), (json{{"read", {"/data/in"}}}));
}

TEST(grant_proposal, many_files_are_a_folder) {
  const json learned = {{"read", {"/data/a", "/data/b", "/data/c", "/data/d", "/other/x"}}};
  EXPECT_EQ(proposed(learned), (json{{"read", {"/data", "/other/x"}}}));
}

TEST(grant_proposal, what_may_be_written_may_be_read) {
  const json learned = {{"read", {"/data/in/file"}}, {"write", {"/data", "/data/deep"}}};
  EXPECT_EQ(proposed(learned), (json{{"write", {"/data"}}}));
}

TEST(grant_proposal, a_hosts_nonsense_is_not_passed_on) {
  const json learned = {{"read", {1, nullptr, "relative", "/", "/a/../b"}}, {"write", "text"}, {"udp", "yes"}};
  EXPECT_EQ(proposed(learned), (json{{"read", {"/b"}}}));
  EXPECT_EQ(proposed(json::object()), json::object());
}

}  // namespace
}  // namespace rtd::supervisor
