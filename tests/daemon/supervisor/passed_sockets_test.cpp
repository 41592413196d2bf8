#include "daemon/supervisor/passed_sockets.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>

#include "daemon/http/listening.h"
#include "daemon/supervisor/control_socket.h"
#include "temporary_folder.h"

namespace rtd::supervisor {
namespace {

using testing::AllOf;
using testing::HasSubstr;

sandbox::descriptor unix_listener(const std::string& path, int type = SOCK_STREAM) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  sandbox::descriptor socket(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
  EXPECT_EQ(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  if (type == SOCK_STREAM) {
    EXPECT_EQ(::listen(socket.get(), 1), 0);
  }
  return socket;
}

passed_sockets with(const char* name, sandbox::descriptor socket) {
  std::map<std::string, sandbox::descriptor> all;
  all.emplace(name, std::move(socket));
  return make_passed_sockets(std::move(all));
}

std::string refusal(const std::function<void()>& call) {
  try {
    call();
  } catch (const passed_socket_error& error) {
    return error.what();
  }
  ADD_FAILURE() << "not refused";
  return {};
}

TEST(passed_sockets, nothing_passed_is_nothing_taken) {
  passed_sockets none;
  EXPECT_FALSE(none.take_control("/run/x"));
  EXPECT_FALSE(none.take_metrics("127.0.0.1:9180"));
  EXPECT_NO_THROW(none.check_metrics_stays());
}

TEST(passed_sockets, a_control_socket_is_taken_where_it_is_expected) {
  const test::temporary_folder folder;
  const std::string path = folder.path() + "/control.sock";
  passed_sockets passed = with(passed_sockets::control, unix_listener(path));
  {
    control_socket taken(path, passed.take_control(path));
    EXPECT_TRUE(taken.was_passed());
    const auto listener = taken.take_listener();
    EXPECT_NE(::fcntl(listener.get(), F_GETFL) & O_NONBLOCK, 0);
  }
  EXPECT_TRUE(std::filesystem::exists(path)) << "it is not the daemon's to remove";
  EXPECT_FALSE(passed.take_control(path)) << "it can be taken once";
}

TEST(passed_sockets, a_control_socket_elsewhere_is_refused) {
  const test::temporary_folder folder;
  const std::string path = folder.path() + "/control.sock";
  EXPECT_THAT(refusal([&] { with("control", unix_listener(path)).take_control("/run/rtd/control.sock"); }),
              AllOf(HasSubstr(path), HasSubstr("/run/rtd/control.sock"), HasSubstr("ListenStream=")));
  EXPECT_THAT(refusal([&] { with("control", unix_listener(path + "2", SOCK_DGRAM)).take_control(path + "2"); }),
              HasSubstr("no unix stream socket that listens"));
}

TEST(passed_sockets, a_metrics_socket_is_taken_at_its_address_alone) {
  sandbox::descriptor listener(http::open_listener("127.0.0.1:0"));
  const std::string address = http::local_address(listener.get());
  passed_sockets passed = with(passed_sockets::metrics, std::move(listener));
  EXPECT_THAT(refusal([&] { passed.check_metrics_stays(); }), HasSubstr("a reload cannot change its address"));
  EXPECT_TRUE(passed.take_metrics(address));
  EXPECT_THAT(refusal([&] { passed.check_metrics_stays(); }), HasSubstr("restart both"));
  for (const char* other : {"127.0.0.1:1", ""}) {
    SCOPED_TRACE(other);
    EXPECT_THAT(
        refusal([&] { with("metrics", sandbox::descriptor(http::open_listener("127.0.0.1:0"))).take_metrics(other); }),
        HasSubstr(std::string("\"http.listen\" is \"") + other + '"'));
  }
}

}  // namespace
}  // namespace rtd::supervisor
