// How many connections a task may have.
#include <atomic>
#include <memory>
#include <vector>

#include "tests/runtime/net/net_fixture.h"
#include "tests/runtime/sched/groups.h"

namespace rt::net::testing {
namespace {

using rt::detail::connection_account;
using rt::detail::limit_kind;
using rt::detail::met_limits;
using rt_test::test_group;

class connection_limit_on : public on_procs {};
RT_NET_TEST_ON_PROCS(connection_limit_on);

// A group with a limit, which hands over what it accepts.
struct limited_server {
  explicit limited_server(std::uint64_t most, int acceptors = 1) {
    task.of.connections->set_most(most);
    for (int i = 0; i < acceptors; ++i) {
      task.go([from = from, accepted = accepted]() mutable {
        std::error_code error;
        while (conn one = from.accept(error)) accepted.send(one);
      });
    }
  }
  ~limited_server() { from.close(); }

  connection_account& account() const { return *task.of.connections; }

  listener from = listen("tcp4", "127.0.0.1:0");
  chan<conn> accepted{1000};
  test_group task{"limited"};
};

TEST_P(connection_limit_on, accept_waits_until_one_is_closed) {
  run([] {
    limited_server server(2);
    std::vector<conn> clients;
    for (int i = 0; i < 4; ++i) clients.push_back(dial("tcp4", server.from.address()));
    conn first = *server.accepted.recv();
    conn second = *server.accepted.recv();
    EXPECT_TRUE(eventually([&] { return server.account().waits() == 1; }));
    EXPECT_EQ(server.account().open(), 2U);
    EXPECT_EQ(server.accepted.size(), 0U);
    first.close();
    conn third = *server.accepted.recv();
    EXPECT_EQ(third.remote_address(), clients[2].local_address());
    EXPECT_TRUE(eventually([&] { return server.account().waits() == 2; }));
    second = {};  // the last handle closes it
    conn fourth = *server.accepted.recv();
    EXPECT_EQ(server.account().open(), 2U);
    EXPECT_EQ(server.task.of.limits.take(), met_limits::bit(limit_kind::connections));
  });
}

TEST_P(connection_limit_on, the_wait_obeys_close_deadline_and_cancel) {
  run([] {
    test_group task("limited");
    task.of.connections->set_most(0);
    listener from = listen("tcp4", "127.0.0.1:0");
    conn client = dial("tcp4", from.address());
    task.go([from]() mutable {
      go([from]() mutable {  // a deadline that has passed before the call would be told without a wait
        EXPECT_TRUE(waiting(1, 0));
        from.set_deadline(now() + 20ms);
      });
      std::error_code error;
      EXPECT_FALSE(from.accept(error));
      EXPECT_EQ(error, errc::timed_out);
      from.set_deadline({});
      scope inner;
      inner.go([from]() mutable { EXPECT_THROW(from.accept(), cancelled); });
      EXPECT_TRUE(waiting(1, 0));
      inner.cancel();
      EXPECT_NO_THROW(inner.wait());
      go([from]() mutable {
        EXPECT_TRUE(waiting(1, 0));
        from.close();
      });
      EXPECT_FALSE(from.accept(error));
      EXPECT_EQ(error, errc::closed);
    });
    task.wait();
    EXPECT_EQ(task.of.connections->waits(), 3U);
  });
}

TEST_P(connection_limit_on, the_limit_may_be_raised_while_somebody_waits) {
  run([] {
    limited_server server(1);
    conn one = dial("tcp4", server.from.address());
    conn two = dial("tcp4", server.from.address());
    conn held = *server.accepted.recv();
    EXPECT_TRUE(eventually([&] { return server.account().waits() == 1; }));
    server.account().set_most(2);
    conn other = *server.accepted.recv();
    server.account().set_most(1);  // lowered: those that are open stay
    held.close();
    EXPECT_EQ(server.account().open(), 1U);
    EXPECT_FALSE(server.account().has_room());
  });
}

TEST_P(connection_limit_on, dial_fails_with_an_error_of_its_own) {
  run([] {
    listener from = listen("tcp4", "127.0.0.1:0");
    test_group task("limited");
    task.of.connections->set_most(1);
    task.go([from, &task] {
      conn one = dial("tcp4", from.address());
      std::error_code error;
      EXPECT_FALSE(dial("tcp4", from.address(), error));
      EXPECT_EQ(error, errc::too_many_connections);
      EXPECT_EQ(error, std::errc::too_many_files_open);
      try {
        dial("tcp4", from.address());
        ADD_FAILURE();
      } catch (const std::system_error& refused) {
        EXPECT_NE(std::string(refused.what()).find("1 of 1 are open"), std::string::npos) << refused.what();
        EXPECT_NE(std::string(refused.what()).find("limits.connections"), std::string::npos) << refused.what();
      }
      EXPECT_EQ(task.of.connections->refused(), 2U);
      one.close();
      EXPECT_TRUE(dial("tcp4", from.address()));
    });
    task.wait();
    EXPECT_EQ(task.of.connections->open(), 0U);
  });
}

TEST_P(connection_limit_on, a_dial_that_fails_counts_for_nothing) {
  run([] {
    listener gone = listen("tcp4", "127.0.0.1:0");
    const std::string address = gone.address();
    gone.close();
    test_group task("limited");
    task.of.connections->set_most(1);
    task.go([address] {
      for (int i = 0; i < 3; ++i) {
        std::error_code error;
        EXPECT_FALSE(dial("tcp4", address, error));
        EXPECT_EQ(error, std::errc::connection_refused);
      }
    });
    task.wait();
    EXPECT_EQ(task.of.connections->open(), 0U);
  });
}

TEST_P(connection_limit_on, a_connection_may_outlive_its_task) {
  run([] {
    conn kept;
    conn client;
    {
      limited_server server(1);
      client = dial("tcp4", server.from.address());
      kept = *server.accepted.recv();
    }
    EXPECT_TRUE(kept.is_open());
    kept.close();
  });
}

// Those who wait for a free one, and others who accept beside them, while connections come and go: each is served.
TEST_P(connection_limit_on, nobody_waits_while_one_is_free) {
  run([] {
    constexpr int clients = 40;
    const int rounds = rt_test::scaled(20);
    limited_server server(3, 6);
    wait_group echoes;
    echoes.go([&] {
      while (auto one = server.accepted.recv()) {
        EXPECT_LE(server.account().open(), 3U);
        echoes.go([peer = *one] { echo(peer); });
      }
    });
    wait_group all;
    for (int i = 0; i < clients; ++i) {
      all.go([&] {
        for (int k = 0; k < rounds; ++k) {
          conn one = dial("tcp4", server.from.address());
          one.write("x");
          char answer = 0;
          EXPECT_EQ(one.read(&answer, 1), 1U);
          one.close();
        }
      });
    }
    all.wait();
    EXPECT_GT(server.account().waits(), 0U);
    server.from.close();
    server.task.wait();
    server.accepted.close();
    echoes.wait();
    EXPECT_EQ(server.account().open(), 0U);
  });
}

}  // namespace
}  // namespace rt::net::testing
