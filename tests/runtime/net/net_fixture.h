// What the tests of the network floor share.
#pragma once

#include <gtest/gtest.h>

#include <stdlib.h>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "rt/rt.h"

namespace rt::net::testing {

using namespace std::chrono_literals;

/// A test that runs its body on green threads, with as many processors as its parameter says.
class on_procs : public ::testing::TestWithParam<int> {
 protected:
  void run(std::function<void()> body) const {
    int status = rt::run(
        [&] {
          body();
          return 0;
        },
        {.max_procs = GetParam()});
    EXPECT_EQ(status, 0);
  }
};

inline std::string name_of_procs(const ::testing::TestParamInfo<int>& info) {
  return std::to_string(info.param) + "_procs";
}

#define RT_NET_TEST_ON_PROCS(suite) \
  INSTANTIATE_TEST_SUITE_P(on, suite, ::testing::Values(1, 2, 8), ::rt::net::testing::name_of_procs)

/// How much later than asked for something may happen on a busy machine.
inline constexpr duration tolerance = 30s;

/// Two ends of a TCP connection.
struct pair {
  conn client;
  conn server;
};

inline pair connected_pair(std::string_view network = "tcp4", std::string_view address = "127.0.0.1:0") {
  listener from = listen(network, address);
  chan<conn> accepted(1);
  go([=]() mutable { accepted.send(from.accept()); });
  pair both;
  both.client = dial(network, from.address());
  both.server = *accepted.recv();
  // Not somebody else's: tests that run beside this one dial ports on which nobody listens any more, and the system may
  // have given the port to this listener meanwhile.
  while (both.server.remote_address() != both.client.local_address()) both.server = from.accept();
  from.close();
  return both;
}

/// Sends back what it reads, until the stream ends.
inline void echo(conn peer) {
  char buffer[16 * 1024];
  std::error_code error;
  while (std::size_t count = peer.read(buffer, sizeof buffer, error)) {
    peer.write(buffer, count, error);
    if (error) break;
  }
  peer.close();
}

/// Accepts and echoes until the listener is closed.
inline void echo_all(listener from) {
  std::error_code error;
  while (true) {
    conn peer = from.accept(error);
    if (error) return;
    go(echo, peer);
  }
}

/// Reads until the end of the stream.
inline std::string read_all(conn& from) {
  std::string text;
  char buffer[4096];
  while (std::size_t count = from.read(buffer, sizeof buffer)) text.append(buffer, count);
  return text;
}

/// Waits until `condition()` holds; false when it does not within the tolerance.
inline bool eventually(const std::function<bool()>& condition) {
  time_point end = now() + tolerance;
  while (!condition()) {
    if (now() > end) return false;
    sleep_for(1ms);
  }
  return true;
}

/// Waits until so many green threads wait to read (or accept) and to write.
inline bool waiting(std::uint64_t readers, std::uint64_t writers) {
  return eventually([=] {
    runtime_stats stats = read_stats();
    return stats.net_waiting_readers == readers && stats.net_waiting_writers == writers;
  });
}

/// Writes until the kernel takes no more and the writer waits; closes of the peer end it. Returns the error.
inline std::error_code fill(conn& to) {
  std::string block(256 * 1024, 'x');
  std::error_code error;
  while (!error) to.write(block, error);
  return error;
}

/// A scratch folder that goes away with its content.
class scratch_folder {
 public:
  scratch_folder();
  ~scratch_folder();
  scratch_folder(const scratch_folder&) = delete;
  scratch_folder& operator=(const scratch_folder&) = delete;
  std::string path(std::string_view name) const { return folder_ + '/' + std::string(name); }

 private:
  std::string folder_;
};

inline scratch_folder::scratch_folder() {
  std::string pattern = ::testing::TempDir() + "rt_net_XXXXXX";
  if (mkdtemp(pattern.data()) == nullptr) throw std::system_error(errno, std::system_category(), pattern);
  folder_ = pattern;
}

inline scratch_folder::~scratch_folder() {
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

}  // namespace rt::net::testing
