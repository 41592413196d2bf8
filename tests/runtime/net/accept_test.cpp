// Accepting when there is trouble.
#include <dirent.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <vector>

#include "runtime/net/socket_address.h"
#include "tests/runtime/net/net_fixture.h"

namespace rt::net::testing {
namespace {

class accept_on : public on_procs {};

// Lowers the limit of descriptors to those that are open.
class no_more_descriptors {
 public:
  no_more_descriptors() {
    getrlimit(RLIMIT_NOFILE, &before_);
    int highest = dup(0);  // the lowest free number
    close(highest);
    std::vector<int> fillers;
    rlimit now = before_;
    now.rlim_cur = static_cast<rlim_t>(highest);
    setrlimit(RLIMIT_NOFILE, &now);
  }
  ~no_more_descriptors() { setrlimit(RLIMIT_NOFILE, &before_); }
  no_more_descriptors(const no_more_descriptors&) = delete;
  no_more_descriptors& operator=(const no_more_descriptors&) = delete;

 private:
  rlimit before_{};
};

TEST_P(accept_on, without_descriptors_it_waits_and_goes_on) {
  run([] {
    listener from = listen("tcp4", "127.0.0.1:0");
    conn client = dial("tcp4", from.address());  // in the kernel's queue
    std::atomic<bool> accepted{false};
    wait_group done;
    {
      no_more_descriptors limit;
      done.go([&] {
        conn server = from.accept();
        EXPECT_TRUE(server);
        accepted = true;
      });
      sleep_for(50ms);
      EXPECT_FALSE(accepted.load());
    }
    EXPECT_TRUE(eventually([&] { return accepted.load(); }));
    done.wait();
  });
}

TEST_P(accept_on, the_pause_without_descriptors_obeys_close_deadline_and_cancel) {
  run([] {
    listener from = listen("tcp4", "127.0.0.1:0");
    conn client = dial("tcp4", from.address());
    no_more_descriptors limit;
    from.set_deadline(now() + 30ms);
    std::error_code error;
    EXPECT_FALSE(from.accept(error));
    EXPECT_EQ(error, errc::timed_out);
    from.set_deadline({});
    {
      scope tasks;
      tasks.go([&] {
        from.accept();
        ADD_FAILURE() << "accept returned";
      });
      EXPECT_TRUE(waiting(1, 0));
      tasks.cancel();
      tasks.wait();
    }
    go([from]() mutable {
      EXPECT_TRUE(waiting(1, 0));
      from.close();
    });
    EXPECT_FALSE(from.accept(error));
    EXPECT_EQ(error, errc::closed);
  });
}

TEST_P(accept_on, a_connection_that_is_gone_already_does_not_end_it) {
  run([] {
    listener from = listen("tcp4", "127.0.0.1:0");
    for (int i = 0; i < 20; ++i) {
      conn gone = dial("tcp4", from.address());
      linger abort_at_close{1, 0};
      setsockopt(gone.native_handle(), SOL_SOCKET, SO_LINGER, &abort_at_close, sizeof abort_at_close);
      gone.close();
    }
    conn client = dial("tcp4", from.address());
    client.write("x");
    from.set_deadline(now() + tolerance);
    // Linux hands the reset ones out too; they are at their end.
    while (true) {
      conn server = from.accept();
      char byte;
      std::error_code error;
      if (server.read(&byte, 1, error) == 1) break;
    }
  });
}

TEST_P(accept_on, options_of_accepted_connections) {
  run([] {
    pair both = connected_pair();
    for (conn* each : {&both.client, &both.server}) {
      for (auto [level, name] : {std::pair<int, int>(IPPROTO_TCP, TCP_NODELAY), {SOL_SOCKET, SO_KEEPALIVE}}) {
        int value = 0;
        socklen_t length = sizeof value;
        EXPECT_EQ(getsockopt(each->native_handle(), level, name, &value, &length), 0);
        EXPECT_NE(value, 0);
      }
    }
    std::error_code error;
    both.server.set_no_delay(false, error);
    EXPECT_FALSE(error);
    int value = 1;
    socklen_t length = sizeof value;
    getsockopt(both.server.native_handle(), IPPROTO_TCP, TCP_NODELAY, &value, &length);
    EXPECT_EQ(value, 0);
  });
}

TEST_P(accept_on, several_accept_from_one_listener) {
  run([] {
    listener from = listen("tcp4", "127.0.0.1:0");
    std::atomic<int> accepted{0};
    wait_group acceptors;
    for (int i = 0; i < 4; ++i) {
      acceptors.go([&] {
        std::error_code error;
        while (from.accept(error)) accepted.fetch_add(1);
        EXPECT_EQ(error, errc::closed);
      });
    }
    std::vector<conn> clients;
    for (int i = 0; i < 200; ++i) clients.push_back(dial("tcp4", from.address()));
    EXPECT_TRUE(eventually([&] { return accepted.load() == 200; }));
    from.close();
    acceptors.wait();
  });
}

RT_NET_TEST_ON_PROCS(accept_on);

}  // namespace
}  // namespace rt::net::testing
