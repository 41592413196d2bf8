#include "daemon/ctl/rpc_client.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <functional>
#include <string>
#include <system_error>
#include <thread>

#include "daemon/ctl/error.h"

namespace rtd::ctl {
namespace {

using nlohmann::json;

constexpr const char* hello =
    R"({"jsonrpc":"2.0","method":"rtd.hello","params":{"version":"0.1.0","protocol":1,"role":"view","capabilities":[]}})"
    "\n";

// A peer that sends what it is told to and keeps what it gets.
class RpcClient : public testing::Test {
 protected:
  void SetUp() override {
    int pair[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    ours_ = pair[0];
    theirs_ = pair[1];
  }
  void TearDown() override {
    if (theirs_ >= 0) ::close(theirs_);
    if (ours_ >= 0) ::close(ours_);
  }

  void send(const std::string& text) {
    ASSERT_EQ(::send(theirs_, text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
  }
  void hang_up() {
    ::close(theirs_);
    theirs_ = -1;
  }
  std::string received() {
    std::string text(65536, '\0');
    const ssize_t got = ::recv(theirs_, text.data(), text.size(), MSG_DONTWAIT);
    text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    return text;
  }
  rpc_client client() { return rpc_client(connection(std::exchange(ours_, -1), "a socket"), soon()); }
  rpc_client greeted() {
    send(hello);
    return client();
  }
  static deadline soon() { return deadline_in(5); }

  static exit_code code_of(const std::function<void()>& work) {
    try {
      work();
    } catch (const command_error& problem) {
      message_ = problem.what();
      return problem.code();
    }
    return exit_code::ok;
  }

  int ours_ = -1;
  int theirs_ = -1;
  static inline std::string message_;
};

TEST_F(RpcClient, ReadsTheGreeting) {
  const rpc_client client = greeted();
  EXPECT_EQ(client.server().version, "0.1.0");
  EXPECT_EQ(client.server().role, "view");
}

TEST_F(RpcClient, CallsAndGetsTheResult) {
  rpc_client client = greeted();
  send("{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"a\":1}}\n");
  EXPECT_EQ(client.call("status", {{"x", "ä\n"}}, soon()), json({{"a", 1}}));
  EXPECT_EQ(json::parse(received()),
            json({{"jsonrpc", "2.0"}, {"id", 1}, {"method", "status"}, {"params", {{"x", "ä\n"}}}}));
}

TEST_F(RpcClient, PutsAnAnswerTogetherFromPieces) {
  rpc_client client = greeted();
  std::thread peer([&] {
    for (const char* piece : {"{\"jsonrpc\":\"2.0\",\"id\":1,", "\"result\":{\"a\":", "1}}", "\n{\"jso"}) {
      send(piece);
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  });
  EXPECT_EQ(client.call("status", json::object(), soon()), json({{"a", 1}}));
  peer.join();
}

TEST_F(RpcClient, KeepsNotificationsThatComeBeforeTheAnswer) {
  rpc_client client = greeted();
  send(
      "{\"jsonrpc\":\"2.0\",\"method\":\"rtd.log\",\"params\":{\"seq\":1}}\n"
      "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n"
      "{\"jsonrpc\":\"2.0\",\"method\":\"rtd.log\",\"params\":{\"seq\":2}}\n");
  client.call("logs", json::object(), soon());
  EXPECT_EQ(client.next_notification(soon()).params["seq"], 1);
  const notification second = client.next_notification(soon());
  EXPECT_EQ(second.method, "rtd.log");
  EXPECT_EQ(second.params["seq"], 2);
}

TEST_F(RpcClient, PassesErrorsOn) {
  rpc_client client = greeted();
  send(
      R"({"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"no task \"x\"","data":{"kind":"not_found","hint":"try y"}}})"
      "\n");
  try {
    client.call("task.stop", {{"name", "x"}}, soon());
    FAIL() << "no exception";
  } catch (const request_error& problem) {
    EXPECT_STREQ(problem.what(), "no task \"x\"");
    EXPECT_EQ(problem.code(), exit_code::not_found);
    EXPECT_EQ(problem.kind(), "not_found");
    EXPECT_EQ(problem.hint(), "try y");
  }
}

TEST_F(RpcClient, SaysWhatARoleMayNot) {
  rpc_client client = greeted();
  send(
      R"({"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"gc needs operate","data":{"kind":"permission_denied"}}})"
      "\n");
  try {
    client.call("gc", json::object(), soon());
    FAIL() << "no exception";
  } catch (const request_error& problem) {
    EXPECT_EQ(problem.code(), exit_code::permission_denied);
    EXPECT_NE(problem.hint().find("your role here is view"), std::string::npos) << problem.hint();
  }
}

TEST_F(RpcClient, TellsOtherServersFromRtd) {
  send("SSH-2.0-OpenSSH_9.2\n");
  EXPECT_EQ(code_of([&] { client(); }), exit_code::unreachable);
  EXPECT_NE(message_.find("not rtd"), std::string::npos) << message_;
}

TEST_F(RpcClient, WantsItsOwnProtocol) {
  send("{\"jsonrpc\":\"2.0\",\"method\":\"rtd.hello\",\"params\":{\"version\":\"9.0.0\",\"protocol\":9}}\n");
  EXPECT_EQ(code_of([&] { client(); }), exit_code::unreachable);
  EXPECT_NE(message_.find("speaks control protocol 9"), std::string::npos) << message_;
}

TEST_F(RpcClient, ReadsARefusalInPlaceOfTheGreeting) {
  send(
      R"({"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"uid 7 has no role","data":{"kind":"permission_denied"}}})"
      "\n");
  hang_up();
  EXPECT_EQ(code_of([&] { client(); }), exit_code::permission_denied);
  EXPECT_EQ(message_, "uid 7 has no role");
}

TEST_F(RpcClient, NoticesThatThePeerHangsUp) {
  rpc_client client = greeted();
  hang_up();
  EXPECT_EQ(code_of([&] { client.call("status", json::object(), soon()); }), exit_code::unreachable);
}

TEST_F(RpcClient, GivesUpInTime) {
  rpc_client client = greeted();
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(code_of([&] { client.call("status", json::object(), deadline_in(0.05)); }), exit_code::timed_out);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(2));
}

TEST_F(RpcClient, IgnoresAnswersToRequestsThatWereGivenUp) {
  rpc_client client = greeted();
  EXPECT_EQ(code_of([&] { client.call("status", json::object(), deadline_in(0.02)); }), exit_code::timed_out);
  send("{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"late\":true}}\n{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{}}\n");
  EXPECT_EQ(client.call("status", json::object(), soon()), json::object());
}

TEST_F(RpcClient, GivesUpWhenInterrupted) {
  rpc_client client = greeted();
  int pair[2];
  ASSERT_EQ(::pipe(pair), 0);
  client.interrupt_by(pair[0]);
  ASSERT_EQ(::write(pair[1], "x", 1), 1);
  EXPECT_THROW(client.call("status", json::object(), soon()), interrupted);
  ::close(pair[0]);
  ::close(pair[1]);
}

TEST_F(RpcClient, RefusesNonsense) {
  for (const char* nonsense :
       {"[]\n", "17\n", "{\"id\":1,\"result\":[]}\n", "{\"id\":1}\n", "{\"id\":1,\"result\":{}\n", "\n"}) {
    SetUp();
    rpc_client client = greeted();
    send(nonsense);
    hang_up();
    EXPECT_EQ(code_of([&] { client.call("status", json::object(), soon()); }), exit_code::unreachable) << nonsense;
  }
}

TEST_F(RpcClient, DoesNotSendWhatRtdWouldRefuse) {
  rpc_client client = greeted();
  EXPECT_EQ(code_of([&] {
              client.call("config.check", {{"text", std::string(2U << 20U, 'x')}}, soon());
            }),
            exit_code::usage);
  EXPECT_EQ(received(), "");
}

TEST(Connection, SaysWhyItCannotConnect) {
  const auto code_of = [](const std::string& path, std::string& message) {
    try {
      connection::open(path, deadline_in(1));
    } catch (const command_error& problem) {
      message = problem.what();
      return problem.code();
    }
    return exit_code::ok;
  };
  std::string message;
  EXPECT_EQ(code_of("/nonexistent/rtd.sock", message), exit_code::unreachable);
  EXPECT_EQ(message, "cannot connect to /nonexistent/rtd.sock: No such file or directory");
  EXPECT_EQ(code_of(std::string(200, 'x'), message), exit_code::usage);
  EXPECT_EQ(code_of("", message), exit_code::usage);
  EXPECT_EQ(code_of("/dev/null", message), exit_code::unreachable) << "a file, no socket";
}

}  // namespace
}  // namespace rtd::ctl
