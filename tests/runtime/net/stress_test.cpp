// Everything at once: many connections, descriptors that are used again at once, deadlines, closes, cancels.
#include <random>
#include <vector>

#include "tests/runtime/net/net_fixture.h"

namespace rt::net::testing {
namespace {

class stress_on : public on_procs {};

TEST_P(stress_on, echo_over_many_connections) {
  run([] {
    listener from = listen("tcp4", "127.0.0.1:0");
    go(echo_all, from);
    wait_group clients;
    std::atomic<std::uint64_t> bytes{0};
    for (int i = 0; i < 64; ++i) {
      clients.go([&, i] {
        std::minstd_rand random(static_cast<unsigned>(i + 1));
        conn client = dial("tcp4", from.address());
        std::string text;
        std::string answer;
        for (int round = 0; round < 200; ++round) {
          text.assign(1 + random() % 5000, static_cast<char>('a' + round % 26));
          answer.resize(text.size());
          client.write(text);
          client.read_exactly(answer.data(), answer.size());
          ASSERT_EQ(answer, text);
          bytes.fetch_add(text.size());
        }
      });
    }
    clients.wait();
    EXPECT_GT(bytes.load(), 0u);
    from.close();
  });
}

// Descriptor numbers and poll descriptors serve one connection after the other within microseconds, while events of the
// earlier ones are still on their way (behaviour 111).
TEST_P(stress_on, descriptor_reuse_storm_111) {
  run([] {
    listener from = listen("tcp4", "127.0.0.1:0");
    go([from]() mutable {
      std::error_code error;
      std::uint32_t serial = 0;
      while (true) {
        conn peer = from.accept(error);
        if (error) return;
        go([peer, serial = serial++]() mutable {
          // Reads a word, answers it, and ends in one of several ways.
          std::uint32_t word;
          std::error_code ignored;
          peer.set_deadline(now() + tolerance);
          std::size_t got = 0;
          while (got < sizeof word) {
            std::size_t count = peer.read(reinterpret_cast<char*>(&word) + got, sizeof word - got, ignored);
            if (count == 0) return;
            got += count;
          }
          peer.write(&word, sizeof word, ignored);
          if (serial % 2 == 0) peer.close();
        });
      }
    });
    std::atomic<int> answered{0};
    wait_group clients;
    for (int i = 0; i < 16; ++i) {
      clients.go([&, i] {
        for (std::uint32_t round = 0; round < 100; ++round) {
          conn client = dial("tcp4", from.address());
          std::uint32_t word = static_cast<std::uint32_t>(i) << 16 | round;
          if (round % 5 == 4) {
            // Given up while waiting, so that its events come late.
            client.set_read_deadline(now() + 20us);
            char byte;
            std::error_code error;
            client.read(&byte, 1, error);
            EXPECT_EQ(error, errc::timed_out);
            continue;
          }
          client.write(&word, sizeof word);
          std::uint32_t answer = 0;
          client.read_exactly(&answer, sizeof answer);
          ASSERT_EQ(answer, word);
          answered.fetch_add(1);
        }
      });
    }
    clients.wait();
    EXPECT_EQ(answered.load(), 16 * 80);
    from.close();
  });
}

TEST_P(stress_on, cancels_and_closes_at_random_moments) {
  run([] {
    for (int round = 0; round < 60; ++round) {
      listener from = listen("unix", "@rt-net-stress-" + std::to_string(getpid()));
      scope tasks;
      for (int i = 0; i < 8; ++i) {
        tasks.go([from, i]() mutable {
          std::error_code error;  // refused, where the listener was closed before the cancellation
          conn client = dial("unix", from.address(), error);
          char buffer[256] = {};
          for (int n = 0; n < 1000 && !error; ++n) {
            client.write(buffer, static_cast<std::size_t>(1 + (n + i) % 256), error);
            if (!error && client.read(buffer, sizeof buffer, error) == 0) break;
          }
        });
        tasks.go([from]() mutable {
          std::error_code error;
          conn peer = from.accept(error);
          if (!error) echo(peer);
        });
      }
      sleep_for((round % 10) * 100us);
      if (round % 2 == 0) from.close();
      tasks.cancel();
      tasks.wait();
      from.close();
    }
    EXPECT_TRUE(waiting(0, 0));
    EXPECT_TRUE(eventually([] { return read_stats().net_descriptors == 0; }));
  });
}

RT_NET_TEST_ON_PROCS(stress_on);

}  // namespace
}  // namespace rt::net::testing
