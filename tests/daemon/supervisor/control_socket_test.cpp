#include "daemon/supervisor/control_socket.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cstring>

#include "temporary_folder.h"

namespace rtd::supervisor {
namespace {

using testing::HasSubstr;

std::string refusal(const std::string& path) {
  try {
    control_socket made(path, 0600);
  } catch (const control_socket_error& error) {
    return error.what();
  }
  ADD_FAILURE() << "made " << path;
  return {};
}

sandbox::descriptor listen_at(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  sandbox::descriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_EQ(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  EXPECT_EQ(::listen(socket.get(), 1), 0);
  return socket;
}

TEST(control_socket, is_made_with_its_mode_and_removed) {
  const test::temporary_folder folder;
  const std::string path = folder.path() + "/run/control.sock";
  {
    control_socket made(path, 0660);
    struct stat info {};
    ASSERT_EQ(::stat(path.c_str(), &info), 0);
    EXPECT_TRUE(S_ISSOCK(info.st_mode));
    EXPECT_EQ(info.st_mode & 0777, 0660u);
  }
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(control_socket, a_stale_one_is_replaced) {
  const test::temporary_folder folder;
  const std::string path = folder.path() + "/control.sock";
  listen_at(path);  // closed at once: nobody answers there any more
  ASSERT_TRUE(std::filesystem::exists(path));
  EXPECT_NO_THROW(control_socket(path, 0600));
}

TEST(control_socket, a_living_one_is_refused) {
  const test::temporary_folder folder;
  const std::string path = folder.path() + "/control.sock";
  {
    control_socket first(path, 0600);
    EXPECT_THAT(refusal(path), HasSubstr("another rtd is running there"));
  }
  const auto foreign = listen_at(path);
  EXPECT_THAT(refusal(path), HasSubstr("another program answers there"));
  EXPECT_TRUE(std::filesystem::exists(path));
}

TEST(control_socket, other_things_stay) {
  const test::temporary_folder folder;
  EXPECT_THAT(refusal(folder.file("precious")), HasSubstr("not a socket"));
  EXPECT_TRUE(std::filesystem::exists(folder.path() + "/precious"));
  EXPECT_THAT(refusal(folder.path() + "/a/b/c"), HasSubstr("cannot be made"));
  EXPECT_THAT(refusal(folder.path() + "/" + std::string(200, 'x')), HasSubstr("longer than 107 bytes"));
}

}  // namespace
}  // namespace rtd::supervisor
