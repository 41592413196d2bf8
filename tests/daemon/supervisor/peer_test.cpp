#include "daemon/supervisor/peer.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/sandbox/descriptor.h"

namespace rtd::supervisor {
namespace {

using protocol::role;

peer user(uid_t uid, gid_t gid = 1000, std::vector<gid_t> groups = {}) {
  return {1, uid, gid, std::move(groups), true};
}

config::role_rule for_user(role what, std::uint32_t id) { return {what, false, id, ""}; }
config::role_rule for_group(role what, std::uint32_t id) { return {what, true, id, ""}; }

TEST(roles, default_is_none) {
  EXPECT_EQ(role_of(user(1000), {}, 500), role::none);
  EXPECT_EQ(role_of(peer{}, {for_user(role::admin, 0)}, 0), role::none) << "nothing is known of the peer";
}

TEST(roles, root_and_the_daemon_are_admin) {
  EXPECT_EQ(role_of(user(0), {}, 500), role::admin);
  EXPECT_EQ(role_of(user(500), {}, 500), role::admin);
}

TEST(roles, rules_by_user_and_group_the_highest_counts) {
  const std::vector<config::role_rule> rules = {for_user(role::view, 1000), for_group(role::operate, 2000),
                                                for_group(role::view, 3000), for_user(role::admin, 1001)};
  EXPECT_EQ(role_of(user(1000), rules, 500), role::view);
  EXPECT_EQ(role_of(user(1000, 2000), rules, 500), role::operate) << "the primary group";
  EXPECT_EQ(role_of(user(1000, 1000, {5, 2000, 7}), rules, 500), role::operate) << "a supplementary group";
  EXPECT_EQ(role_of(user(1001, 3000), rules, 500), role::admin);
  EXPECT_EQ(role_of(user(2000, 1), rules, 500), role::none) << "a user's number is not a group's";
}

TEST(roles, the_overflow_user_has_none) {
  EXPECT_EQ(role_of(user(65534, 65534), {for_user(role::admin, 65534), for_group(role::admin, 65534)}, 500),
            role::none);
}

TEST(peers, the_kernel_knows_them) {
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  const sandbox::descriptor left(ends[0]), right(ends[1]);
  const peer who = peer_of(left.get());
  EXPECT_TRUE(who.known);
  EXPECT_EQ(who.uid, ::geteuid());
  EXPECT_EQ(who.pid, ::getpid());
  EXPECT_FALSE(peer_of(STDIN_FILENO + 900).known);
}

}  // namespace
}  // namespace rtd::supervisor
