#include "daemon/supervisor/plugin_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/protocol/error.h"
#include "temporary_folder.h"

namespace rtd::supervisor {
namespace {

using protocol::error_kind;
using protocol::rpc_error;
using testing::HasSubstr;

rpc_error refusal(const std::string& path, uid_t owner) {
  try {
    check_plugin_file(path, owner);
  } catch (const rpc_error& error) {
    return error;
  }
  ADD_FAILURE() << "accepted " << path;
  return rpc_error(error_kind::internal, "");
}

TEST(plugin_file, good_ones_and_their_identity) {
  const test::temporary_folder folder;
  const std::string path = folder.file("a.so");
  ::chmod(path.c_str(), 0644);
  const auto identity = check_plugin_file(path, ::geteuid());
  EXPECT_EQ(identity, check_plugin_file(path, ::geteuid()));
  const std::string other = folder.file("b.so");
  std::filesystem::rename(other, path);
  EXPECT_NE(identity, check_plugin_file(path, ::geteuid())) << "another file under the same name";
}

TEST(plugin_file, missing_relative_and_not_regular) {
  const test::temporary_folder folder;
  EXPECT_EQ(refusal(folder.path() + "/none.so", ::geteuid()).kind(), error_kind::not_found);
  EXPECT_EQ(refusal("none.so", ::geteuid()).kind(), error_kind::invalid_params);
  EXPECT_THAT(refusal(folder.path(), ::geteuid()).what(), HasSubstr("not a regular file"));
}

TEST(plugin_file, writable_by_others_names_the_remedy) {
  const test::temporary_folder folder;
  const std::string path = folder.file("a.so");
  ::chmod(path.c_str(), 0646);
  const auto error = refusal(path, ::geteuid());
  EXPECT_THAT(error.what(), HasSubstr("can be written by everybody (mode 0646)"));
  EXPECT_EQ(error.data()["hint"], "chmod o-w " + path);
  ::chmod(path.c_str(), 0664);
  EXPECT_NO_THROW(check_plugin_file(path, ::geteuid())) << "the daemon's own group is the daemon's business";
  if (::geteuid() == 0) {
    EXPECT_THAT(refusal(path, 12345).what(), HasSubstr("can be written by group"));
  }
}

TEST(plugin_file, of_another_user) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to make a file of another user";
  const test::temporary_folder folder;
  const std::string path = folder.file("a.so");
  ASSERT_EQ(::chown(path.c_str(), 4711, 4711), 0);
  const auto error = refusal(path, 0);
  EXPECT_THAT(error.what(), HasSubstr("belongs to user 4711"));
  EXPECT_EQ(error.data()["hint"], "chown root " + path);
  EXPECT_NO_THROW(check_plugin_file(path, 4711));
}

TEST(plugin_file, in_a_folder_that_others_may_change) {
  const test::temporary_folder folder;
  const std::string path = folder.file("a.so");
  ::chmod(folder.path().c_str(), 0777);
  EXPECT_THAT(refusal(path, ::geteuid()).what(), HasSubstr("the folder"));
  ::chmod(folder.path().c_str(), 01777);
  EXPECT_NO_THROW(check_plugin_file(path, ::geteuid())) << "sticky, as /tmp is";
  ::chmod(folder.path().c_str(), 0755);
  // Through a link both folders count.
  const test::temporary_folder open;
  ::chmod(open.path().c_str(), 0777);
  const std::string link = open.path() + "/link.so";
  ASSERT_EQ(::symlink(path.c_str(), link.c_str()), 0);
  EXPECT_THAT(refusal(link, ::geteuid()).what(), HasSubstr("the folder"));
}

}  // namespace
}  // namespace rtd::supervisor
