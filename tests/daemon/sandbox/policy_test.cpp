#include "daemon/sandbox/policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

#include "daemon/sandbox/confine.h"
#include "daemon/sandbox/seccomp.h"

namespace rtd::sandbox {
namespace {

using testing::HasSubstr;

TEST(policy, comes_back_as_it_was) {
  host_policy policy;
  policy.strict = false;
  policy.become = account{65534, 100};
  policy.dumpable = true;
  policy.paths = {{"/usr/lib", access::read, true, false}, {"/tmp", access::write, false, true}};
  policy.listen_ports = {80, 443};
  policy.connect_ports = std::nullopt;
  policy.datagrams = false;
  const host_policy read = policy_from(to_text(policy));
  EXPECT_FALSE(read.strict);
  ASSERT_TRUE(read.become);
  EXPECT_EQ(read.become->user, 65534U);
  EXPECT_EQ(read.become->group, 100U);
  EXPECT_TRUE(read.dumpable);
  ASSERT_EQ(read.paths.size(), 2U);
  EXPECT_EQ(read.paths[0].path, "/usr/lib");
  EXPECT_TRUE(read.paths[0].optional);
  EXPECT_EQ(read.paths[1].how, access::write);
  EXPECT_TRUE(read.paths[1].own_root);
  EXPECT_THAT(read.listen_ports, testing::Optional(testing::ElementsAre(80, 443)));
  EXPECT_FALSE(read.connect_ports);
  EXPECT_FALSE(read.datagrams);
  EXPECT_FALSE(policy_from(to_text(host_policy{})).become);
}

TEST(policy, another_text_is_none) {
  for (const char* text : {"", "{}", "[]", R"({"strict": 1})"}) EXPECT_THROW(policy_from(text), std::runtime_error);
  std::string odd = to_text(host_policy{.paths = {{"/x", access::device}}});
  odd.replace(odd.find(R"("access":2)"), 10, R"("access":7)");
  EXPECT_THROW(policy_from(odd), std::runtime_error);
}

TEST(layers, what_is_missing_is_said_with_its_remedy) {
  EXPECT_THAT(describe({"landlock_ports", "level 2"}), HasSubstr("layer landlock_ports is not to be had: level 2 ("));
  for (const char* layer : {"user_namespace", "mount_namespace", "landlock", "landlock_ports", "seccomp", "cgroup"})
    EXPECT_FALSE(remedy_for(layer).empty()) << layer;
}

TEST(calls, have_names) {
  EXPECT_EQ(call_name(0), "read");
  EXPECT_EQ(call_name(999'999), "999999");
}

}  // namespace
}  // namespace rtd::sandbox
