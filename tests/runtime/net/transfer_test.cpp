// Streams: much data, both ways, half closed, many readers, one busy connection beside others.
#include <sys/socket.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "tests/runtime/net/net_fixture.h"

namespace rt::net::testing {
namespace {

class transfer_on : public on_procs {};

char byte_at(std::size_t position) { return static_cast<char>(position * 131 % 251); }

void send_pattern(conn& to, std::size_t size, std::size_t block_size) {
  std::vector<char> block(block_size);
  for (std::size_t done = 0; done < size;) {
    std::size_t count = std::min(block_size, size - done);
    for (std::size_t i = 0; i < count; ++i) block[i] = byte_at(done + i);
    ASSERT_EQ(to.write(block.data(), count), count);
    done += count;
  }
}

void check_pattern(conn& from, std::size_t size, std::size_t block_size) {
  std::vector<char> block(block_size);
  std::size_t done = 0;
  while (std::size_t count = from.read(block.data(), block.size())) {
    for (std::size_t i = 0; i < count; ++i) ASSERT_EQ(block[i], byte_at(done + i)) << "at " << done + i;
    done += count;
  }
  EXPECT_EQ(done, size);
}

void transfer_both_ways(const pair& ends) {
  pair both = ends;
  constexpr std::size_t size = 24 * 1024 * 1024;
  wait_group done;
  for (auto [to, from] : {std::pair(both.client, both.server), std::pair(both.server, both.client)}) {
    done.go([to = to]() mutable {
      send_pattern(to, size, 3'000'017);  // larger than the kernel's buffers: partial writes
      std::error_code error;
      to.shutdown_write(error);
      EXPECT_FALSE(error);
    });
    done.go([from = from]() mutable { check_pattern(from, size, 70'001); });
  }
  done.wait();
}

TEST_P(transfer_on, both_ways_with_partial_writes_tcp) {
  run([] { transfer_both_ways(connected_pair()); });
}

TEST_P(transfer_on, both_ways_with_partial_writes_unix) {
  run([] { transfer_both_ways(connected_pair("unix", "@rt-net-transfer-" + std::to_string(getpid()))); });
}

TEST_P(transfer_on, half_close_leaves_the_other_direction) {
  run([] {
    pair both = connected_pair();
    both.client.write("question");
    std::error_code error;
    both.client.shutdown_write(error);
    EXPECT_FALSE(error);
    EXPECT_EQ(read_all(both.server), "question");
    EXPECT_EQ(both.client.write("more", error), 0u);
    EXPECT_EQ(error, std::errc::broken_pipe);  // and no SIGPIPE
    both.server.write("answer");
    both.server.close();
    EXPECT_EQ(read_all(both.client), "answer");
  });
}

TEST_P(transfer_on, reset_by_the_peer_is_an_error) {
  run([] {
    pair both = connected_pair();
    linger abort_at_close{1, 0};
    setsockopt(both.server.native_handle(), SOL_SOCKET, SO_LINGER, &abort_at_close, sizeof abort_at_close);
    go([server = both.server]() mutable {
      EXPECT_TRUE(waiting(1, 0));
      server.close();
    });
    char byte;
    std::error_code error;
    EXPECT_EQ(both.client.read(&byte, 1, error), 0u);
    EXPECT_EQ(error, std::errc::connection_reset);
  });
}

TEST_P(transfer_on, read_exactly_names_an_early_end) {
  run([] {
    pair both = connected_pair();
    both.server.write("abc");
    both.server.close();
    char buffer[4];
    try {
      both.client.read_exactly(buffer, sizeof buffer);
      FAIL() << "no exception";
    } catch (const std::system_error& error) {
      EXPECT_EQ(error.code(), errc::eof);
    }
  });
}

TEST_P(transfer_on, nothing_to_read_or_write_returns_at_once) {
  run([] {
    pair both = connected_pair();
    EXPECT_EQ(both.client.read(nullptr, 0), 0u);
    EXPECT_EQ(both.client.write(nullptr, 0), 0u);
  });
}

TEST_P(transfer_on, buffer_sequences) {
  run([] {
    struct part {
      void* start;
      std::size_t length;
      void* data() const { return start; }
      std::size_t size() const { return length; }
    };
    pair both = connected_pair();
    char hello[] = "hello ";
    char world[] = "world";
    EXPECT_EQ(both.client.write_some(std::vector<part>{{hello, 6}, {world, 5}}), 11u);
    char first[4];
    char second[20];
    std::error_code error;
    EXPECT_EQ(both.server.read_some(std::vector<part>{{first, sizeof first}, {second, sizeof second}}, error), 11u);
    EXPECT_FALSE(error);
    EXPECT_EQ(std::string(first, 4) + std::string(second, 7), "hello world");
    EXPECT_EQ(both.server.read_some(part{first, 0}, error), 0u);
    EXPECT_FALSE(error);
    std::vector<char> bytes(40, 'x');
    std::vector<part> many;  // more parts than one system call is given
    for (char& each : bytes) many.push_back({&each, 1});
    EXPECT_EQ(both.client.write_some(many), detail::max_buffers);
    both.client.close();
    EXPECT_EQ(read_all(both.server), std::string(detail::max_buffers, 'x'));
    EXPECT_EQ(both.server.read_some(part{first, 4}, error), 0u);
    EXPECT_EQ(error, errc::eof);
    EXPECT_THROW(both.server.read_some(part{first, 4}), std::system_error);
  });
}

TEST_P(transfer_on, many_readers_of_one_connection_take_turns) {
  run([] {
    pair both = connected_pair();
    constexpr int readers = 16;
    constexpr std::size_t size = 200'000;
    std::atomic<std::size_t> got{0};
    std::atomic<int> served{0};
    wait_group done;
    for (int i = 0; i < readers; ++i) {
      done.go([&] {
        char buffer[100];
        std::size_t mine = 0;
        while (std::size_t count = both.client.read(buffer, sizeof buffer)) {
          mine += count;
          yield();
        }
        got.fetch_add(mine);
        if (mine != 0) served.fetch_add(1);
      });
    }
    send_pattern(both.server, size, 10'000);
    both.server.close();
    done.wait();
    EXPECT_EQ(got.load(), size);
    EXPECT_GT(served.load(), 1);
  });
}

TEST_P(transfer_on, writers_of_one_connection_do_not_mix) {
  run([] {
    pair both = connected_pair();
    constexpr int writers = 6;
    constexpr std::size_t block = 1'000'000;
    wait_group done;
    for (int i = 0; i < writers; ++i) {
      done.go([&, i] { both.client.write(std::string(block, static_cast<char>('a' + i))); });
    }
    done.go([&] {
      std::string text(writers * block, '\0');
      both.server.read_exactly(text.data(), text.size());
      std::string seen;
      for (int i = 0; i < writers; ++i) {
        std::string one = text.substr(static_cast<std::size_t>(i) * block, block);
        EXPECT_EQ(one, std::string(block, one[0]));
        seen += one[0];
      }
      std::sort(seen.begin(), seen.end());
      EXPECT_EQ(seen, "abcdef");
    });
    done.wait();
  });
}

// One pair of green threads keeps a connection full and its reader never waits; another connection is served still.
TEST_P(transfer_on, a_busy_connection_starves_nobody) {
  run([] {
    pair busy = connected_pair();
    std::atomic<bool> stop{false};
    wait_group done;
    done.go([&] {
      std::string block(1024 * 1024, 'x');
      std::error_code error;
      while (!stop.load() && !error) busy.client.write(block, error);
      busy.client.close();
    });
    done.go([&] {
      char buffer[512];
      std::error_code error;
      while (busy.server.read(buffer, sizeof buffer, error) != 0) continue;
    });
    pair quiet = connected_pair();
    go(echo, quiet.server);
    time_point start = now();
    int rounds = 0;
    while (rounds < 20) {
      quiet.client.write("x");
      char byte;
      quiet.client.read_exactly(&byte, 1);
      ++rounds;
    }
    EXPECT_LT(now() - start, tolerance);
    stop = true;
    done.wait();
  });
}

RT_NET_TEST_ON_PROCS(transfer_on);

}  // namespace
}  // namespace rt::net::testing
