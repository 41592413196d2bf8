// A root of its own, made in a child process. All else about namespaces is tried by the plugins of tests/system.
#include "daemon/sandbox/namespaces.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>

namespace rtd::sandbox {
namespace {

// Exit statuses that are no errno.
constexpr int no_namespaces = 255;
constexpr int is_there = 200;

void write_file(const char* path, const std::string& text) {
  const int file = ::open(path, O_WRONLY);
  if (file < 0 || ::write(file, text.data(), text.size()) < 0) ::_exit(no_namespaces);
  ::close(file);
}

// Puts on the layer in a child that may, and returns what it says: an errno, or 0 after a look at `look_for`; is_there
// where that is there.
int in_child(const layer& root, const char* look_for) {
  const uid_t user = ::geteuid();
  const gid_t group = ::getegid();
  const pid_t child = ::fork();
  if (child == 0) {
    if (::unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) ::_exit(no_namespaces);
    write_file("/proc/self/setgroups", "deny");
    write_file("/proc/self/uid_map", "0 " + std::to_string(user) + " 1");
    write_file("/proc/self/gid_map", "0 " + std::to_string(group) + " 1");
    if (const int error = root.apply(); error != 0) ::_exit(std::abs(error));
    ::_exit(::access(look_for, F_OK) == 0 ? is_there : 0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

root_entry file(const std::string& path, bool optional) {
  root_entry entry;
  entry.what = root_entry::kind::file;
  entry.source = path;
  entry.target = path;
  entry.optional = optional;
  return entry;
}

TEST(root_layer, what_is_not_there_any_more_is_left_out_where_it_may_be) {
  const char* absent = "/proc/sys/net/core/rtd-has-no-such-file";
  const int outcome = in_child(*make_root_layer({file("/proc/version", false), file(absent, true)}), absent);
  if (outcome == no_namespaces) GTEST_SKIP() << "this user may make no namespaces";
  EXPECT_EQ(outcome, 0) << std::strerror(outcome);
  EXPECT_EQ(in_child(*make_root_layer({file("/proc/version", false), file(absent, true)}), "/proc/version"), is_there);
  EXPECT_EQ(in_child(*make_root_layer({file(absent, false)}), absent), ENOENT);
}

}  // namespace
}  // namespace rtd::sandbox
