// Connecting, and not getting through.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vector>

#include "tests/runtime/net/full_unix_socket.h"
#include "tests/runtime/net/net_fixture.h"

namespace rt::net::testing {
namespace {

class dial_on : public on_procs {};

// A TCP port that takes no more connections: its queue is full, and further attempts are dropped in silence.
class full_port {
 public:
  full_port() {
    fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(fd_, 0), 0);
    socklen_t length = sizeof address;
    getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &length);
    port_ = ntohs(address.sin_port);
    for (int& each : fillers_) {
      each = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
      static_cast<void>(connect(each, reinterpret_cast<sockaddr*>(&address), sizeof address));
    }
  }
  ~full_port() {
    for (int each : fillers_) close(each);
    close(fd_);
  }
  full_port(const full_port&) = delete;
  full_port& operator=(const full_port&) = delete;
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

 private:
  int fd_;
  int port_;
  int fillers_[4];
};

TEST_P(dial_on, refused) {
  run([] {
    listener gone = listen("tcp4", "127.0.0.1:0");
    std::string address = gone.address();
    gone.close();
    std::error_code error;
    EXPECT_FALSE(dial("tcp4", address, error));
    EXPECT_EQ(error, std::errc::connection_refused);
    try {
      dial("tcp", address);
      FAIL() << "no exception";
    } catch (const std::system_error& failure) {
      EXPECT_EQ(std::string(failure.what()), "dial tcp " + address + ": Connection refused");
    }
    EXPECT_FALSE(dial("unix", "@rt-net-nobody-listens-here", error));
    EXPECT_EQ(error, std::errc::connection_refused);
    EXPECT_FALSE(dial("unix", "/nonexistent/socket", error));
    EXPECT_EQ(error, std::errc::no_such_file_or_directory);
  });
}

TEST_P(dial_on, deadline_110) {
  run([] {
    full_port full;
    time_point start = now();
    std::error_code error;
    EXPECT_FALSE(dial_until("tcp4", full.address(), start + 100ms, error));
    EXPECT_EQ(error, errc::timed_out);
    EXPECT_GE(now() - start, 100ms);
    EXPECT_LT(now() - start, tolerance);
    EXPECT_FALSE(dial_until("tcp4", full.address(), start, error));  // past
    EXPECT_EQ(error, errc::timed_out);
  });
}

TEST_P(dial_on, unreachable) {
  run([] {
    std::error_code error;
    EXPECT_FALSE(dial_until("tcp4", "255.255.255.255:9", now() + tolerance, error));  // no TCP to a broadcast address
    EXPECT_EQ(error, std::errc::network_unreachable);
  });
}

TEST_P(dial_on, cancel_while_connecting) {
  run([] {
    full_port full;
    scope tasks;
    std::uint64_t before = read_stats().net_descriptors;
    tasks.go([&] {
      dial("tcp4", full.address());
      ADD_FAILURE() << "dial returned";
    });
    EXPECT_TRUE(waiting(0, 1));
    tasks.cancel();
    tasks.wait();
    EXPECT_EQ(read_stats().net_descriptors, before);
  });
}

TEST_P(dial_on, unix_socket_with_a_full_queue_waits_for_room) {
  run([] {
    full_unix_socket full;
    std::error_code error;
    dial_until("unix", full.address(), now() + 5ms, error);
    EXPECT_EQ(error, errc::timed_out);
    std::atomic<bool> connected{false};
    wait_group done;
    done.go([&] {
      EXPECT_TRUE(dial_until("unix", full.address(), now() + tolerance));
      connected = true;
    });
    sleep_for(20ms);
    EXPECT_FALSE(connected.load());
    full.accept_one();
    done.wait();
  });
}

TEST_P(dial_on, a_name_by_the_hosts_file) {
  run([] {
    listener from = listen("tcp4", "127.0.0.1:0");
    go(echo_all, from);
    std::string port = from.address().substr(from.address().rfind(':'));
    for (const char* network : {"tcp4", "tcp"}) {  // "tcp" may have to go past ::1, where nobody listens
      conn client = dial_until(network, "localhost" + port, now() + tolerance);
      client.write("x");
      char byte;
      client.read_exactly(&byte, 1);
    }
    conn client = dial("tcp", port);  // no host: this machine
    EXPECT_EQ(client.remote_address(), from.address());
    from.close();
  });
}

TEST_P(dial_on, the_address_of_a_name_is_in_the_message) {
  run([] {
    listener gone = listen("tcp4", "127.0.0.1:0");
    std::string address = gone.address();
    std::string port = address.substr(address.rfind(':'));
    gone.close();
    try {
      dial("tcp4", "localhost" + port);
      FAIL() << "no exception";
    } catch (const std::system_error& failure) {
      EXPECT_EQ(std::string(failure.what()), "dial tcp4 localhost" + port + ": at " + address + ": Connection refused");
    }
  });
}

TEST_P(dial_on, never_connects_to_itself) {
  run([] {
    // A port of the ephemeral range on which nobody listens: some attempt would be given it as its own port.
    listener gone = listen("tcp4", "127.0.0.1:0");
    std::string address = gone.address();
    gone.close();
    for (int i = 0; i < 3000; ++i) {
      std::error_code error;
      conn client = dial("tcp4", address, error);
      if (!error) {
        ASSERT_NE(client.local_address(), client.remote_address());
      } else {
        ASSERT_EQ(error, std::errc::connection_refused);
      }
    }
  });
}

RT_NET_TEST_ON_PROCS(dial_on);

}  // namespace
}  // namespace rt::net::testing
