// Connections of every kind, echoed.
#include <vector>

#include "tests/runtime/net/net_fixture.h"

namespace rt::net::testing {
namespace {

class echo_on : public on_procs {
 protected:
  static void round_trips(const char* network, const std::string& address) {
    listener from = listen(network, address);
    go(echo_all, from);
    conn client = dial(network, from.address());
    for (int i = 0; i < 100; ++i) {
      std::string text = "message " + std::to_string(i);
      EXPECT_EQ(client.write(text), text.size());
      std::string answer(text.size(), '\0');
      client.read_exactly(answer.data(), answer.size());
      EXPECT_EQ(answer, text);
    }
    std::error_code error;
    client.shutdown_write(error);
    EXPECT_FALSE(error);
    char rest;
    EXPECT_EQ(client.read(&rest, 1), 0u);
    client.close();
    from.close();
  }
};

TEST_P(echo_on, ipv4) {
  run([] { round_trips("tcp4", "127.0.0.1:0"); });
}

TEST_P(echo_on, ipv6) {
  run([] {
    std::error_code error;
    listener probe = listen("tcp6", "[::1]:0", error);
    if (error) GTEST_SKIP() << "no IPv6 on this machine: " << error.message();
    probe.close();
    round_trips("tcp6", "[::1]:0");
  });
}

TEST_P(echo_on, unix_path) {
  run([] {
    scratch_folder folder;
    round_trips("unix", folder.path("echo.sock"));
  });
}

TEST_P(echo_on, unix_abstract) {
  run([] { round_trips("unix", "@rt-net-test-" + std::to_string(getpid())); });
}

TEST_P(echo_on, all_addresses_serves_ipv4_and_ipv6) {
  run([] {
    listener from = listen("tcp", ":0");
    go(echo_all, from);
    std::string port = from.address().substr(from.address().rfind(':'));
    conn v4 = dial("tcp", "127.0.0.1" + port);
    v4.write("x");
    char byte;
    v4.read_exactly(&byte, 1);
    if (from.address().starts_with("[::]")) {
      conn v6 = dial("tcp", "[::1]" + port);
      v6.write("x");
      v6.read_exactly(&byte, 1);
    }
    from.close();
  });
}

TEST_P(echo_on, a_thousand_connections_at_once) {
  run([] {
    constexpr int count = 1000;
    listener from = listen("tcp4", "127.0.0.1:0");
    go(echo_all, from);
    wait_group all_connected;
    wait_group all_done;
    all_connected.add(count);
    std::atomic<int> right{0};
    for (int i = 0; i < count; ++i) {
      all_done.go([&, i] {
        conn client = dial("tcp4", from.address());
        all_connected.done();
        all_connected.wait();
        std::string text = "connection " + std::to_string(i);
        for (int round = 0; round < 3; ++round) {
          client.write(text);
          std::string answer(text.size(), '\0');
          client.read_exactly(answer.data(), answer.size());
          if (answer == text) right.fetch_add(1);
        }
      });
    }
    all_done.wait();
    EXPECT_EQ(right.load(), 3 * count);
    from.close();
  });
}

TEST_P(echo_on, addresses_of_both_ends_agree) {
  run([] {
    pair both = connected_pair();
    EXPECT_EQ(both.client.remote_address(), both.server.local_address());
    EXPECT_EQ(both.client.local_address(), both.server.remote_address());
    EXPECT_TRUE(both.client.local_address().starts_with("127.0.0.1:"));
  });
}

TEST_P(echo_on, handles_outlive_the_runtime) {
  conn kept;
  run([&] { kept = connected_pair().client; });
  EXPECT_TRUE(kept.is_open());
  kept.close();
  EXPECT_FALSE(kept.is_open());
  EXPECT_EQ(kept.native_handle(), -1);
}

TEST_P(echo_on, runtime_after_runtime) {
  for (int i = 0; i < 3; ++i) run([] { round_trips("tcp4", "127.0.0.1:0"); });
  EXPECT_EQ(read_stats().net_waiting_readers, 0u);
  EXPECT_EQ(read_stats().net_waiting_writers, 0u);
}

RT_NET_TEST_ON_PROCS(echo_on);

TEST(outside, blocking_calls_are_refused_with_a_report) {
  EXPECT_DEATH(conn().read(nullptr, 0), "rt::net::conn::read was called outside a green thread");
  EXPECT_DEATH(dial("tcp", "127.0.0.1:1"), "rt::net::dial was called outside a green thread");
  listener from = listen("tcp4", "127.0.0.1:0");
  EXPECT_DEATH(from.accept(), "rt::net::listener::accept was called outside a green thread");
  from.close();
}

TEST(outside, an_empty_handle_is_closed) {
  rt::run([] {
    conn none;
    std::error_code error;
    char byte;
    EXPECT_EQ(none.read(&byte, 1, error), 0u);
    EXPECT_EQ(error, errc::closed);
    EXPECT_EQ(none.write("x", error), 0u);
    EXPECT_EQ(error, errc::closed);
    none.close();
    none.set_deadline(now());
    EXPECT_EQ(none.remote_address(), "");
    EXPECT_THROW(listener().accept(), std::system_error);
    return 0;
  });
}

}  // namespace
}  // namespace rt::net::testing
