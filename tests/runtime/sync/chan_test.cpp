#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "rt/rt.h"
#include "tests/runtime/in_runtime.h"

namespace {

using namespace std::chrono_literals;
using rt_test::scaled;
RT_ON_PROCS(channels);

TEST_P(channels, unbuffered_is_a_rendezvous) {
  run([] {
    rt::chan<int> channel;
    std::atomic<bool> sent{false};
    rt::go([&] {
      channel.send(1);
      sent = true;
    });
    rt::sleep_for(2ms);
    EXPECT_FALSE(sent) << "a send returned without a receiver";
    EXPECT_EQ(channel.recv(), 1);
    while (!sent) rt::yield();
  });
}

TEST_P(channels, buffered_blocks_when_full_and_keeps_the_order) {
  run([] {
    rt::chan<int> channel(3);
    std::atomic<int> sent{0};
    rt::go([&] {
      for (int i = 0; i < 10; ++i) {
        channel.send(i);
        ++sent;
      }
      channel.close();
    });
    EXPECT_TRUE(rt_test::eventually([&] { return sent == 3; }));
    rt::sleep_for(2ms);
    EXPECT_EQ(sent.load(), 3);
    EXPECT_EQ(channel.size(), 3U);
    EXPECT_EQ(channel.capacity(), 3U);
    int expected = 0;
    for (int value : channel) EXPECT_EQ(value, expected++);
    EXPECT_EQ(expected, 10);
  });
}

// A channel by reference, destroyed by the one who was told: the other side must have left it by then.
TEST_P(channels, who_was_told_may_destroy_it) {
  run([] {
    std::atomic<int> ended{0};
    const int rounds = rt_test::scaled(20'000);
    for (int round = 0; round < rounds; ++round) {
      auto channel = std::make_unique<rt::chan<int>>();
      const int way = round % 5;
      rt::go([&ended, way, here = channel.get()] {
        if (way == 0) here->close();
        if (way == 1) here->send(1);
        if (way == 2) here->recv();
        if (way == 3) rt::select(rt::on_recv(*here, [](std::optional<int>) {}), rt::after(10s, [] {}));
        if (way == 4) here->send_for(1, 10s);
        ++ended;
      });
      if (way == 2 || way == 3) {
        channel->send(1);
      } else {
        EXPECT_EQ(channel->recv().has_value(), way != 0);
      }
      channel.reset();
    }
    EXPECT_TRUE(rt_test::eventually([&] { return ended == rounds; }));
  });
}

TEST_P(channels, closing_drains_then_ends_and_wakes_everybody) {
  run([] {
    rt::chan<int> channel(2);
    channel.send(1);
    channel.send(2);
    channel.close();
    EXPECT_TRUE(channel.is_closed());
    EXPECT_EQ(channel.recv(), 1);
    EXPECT_EQ(channel.recv(), 2);
    EXPECT_EQ(channel.recv(), std::nullopt);
    EXPECT_THROW(channel.send(3), rt::channel_closed);
    EXPECT_THROW(channel.close(), rt::channel_closed);
    EXPECT_THROW(static_cast<void>(channel.try_send(4)), rt::channel_closed);

    rt::chan<int> empty;
    rt::wait_group group;
    std::atomic<int> ended{0};
    for (int i = 0; i < 10; ++i) {
      group.go([&] {
        if (!empty.recv()) ++ended;
      });
    }
    rt::sleep_for(1ms);
    empty.close();
    group.wait();
    EXPECT_EQ(ended.load(), 10);

    rt::chan<int> full;
    std::atomic<int> threw{0};
    for (int i = 0; i < 10; ++i) {
      group.go([&] {
        try {
          full.send(1);
        } catch (const rt::channel_closed&) {
          ++threw;
        }
      });
    }
    rt::sleep_for(1ms);
    full.close();
    group.wait();
    EXPECT_EQ(threw.load(), 10);
  });
}

TEST_P(channels, try_operations_never_wait) {
  run([] {
    rt::chan<int> channel(1);
    rt::chan_status status = rt::chan_status::ok;
    EXPECT_EQ(channel.try_recv(&status), std::nullopt);
    EXPECT_EQ(status, rt::chan_status::would_block);
    EXPECT_TRUE(channel.try_send(5));
    EXPECT_FALSE(channel.try_send(6));
    EXPECT_EQ(channel.try_recv(), 5);
    channel.close();
    EXPECT_EQ(channel.try_recv(&status), std::nullopt);
    EXPECT_EQ(status, rt::chan_status::closed);
    rt::chan<int> none(nullptr);
    EXPECT_FALSE(none.try_send(1));
    EXPECT_EQ(none.try_recv(), std::nullopt);
    EXPECT_THROW(none.close(), std::logic_error);
  });
}

TEST_P(channels, deadlines) {
  run([] {
    rt::chan<int> channel;
    rt::chan_status status = rt::chan_status::ok;
    auto start = rt::now();
    EXPECT_EQ(channel.recv_for(3ms, &status), std::nullopt);
    EXPECT_EQ(status, rt::chan_status::timed_out);
    EXPECT_GE(rt::now() - start, 3ms);
    EXPECT_FALSE(channel.send_for(1, 2ms));
    EXPECT_EQ(channel.recv_until(start, &status), std::nullopt) << "a deadline that has passed";
    EXPECT_EQ(status, rt::chan_status::timed_out);
    rt::go([&] {
      rt::sleep_for(1ms);
      channel.send(9);
    });
    EXPECT_EQ(channel.recv_for(10s), 9);
    EXPECT_FALSE(channel.try_recv().has_value()) << "a timed-out sender has left its value behind";
  });
}

TEST_P(channels, a_value_that_was_not_sent_is_left_as_it_was) {
  run([] {
    rt::chan<std::unique_ptr<int>> channel;
    auto value = std::make_unique<int>(3);
    EXPECT_FALSE(channel.try_send(std::move(value)));
    ASSERT_NE(value, nullptr);
    EXPECT_FALSE(channel.send_for(std::move(value), 1ms));
    ASSERT_NE(value, nullptr);
    rt::go([&, v = std::move(value)]() mutable { channel.send(std::move(v)); });
    auto got = channel.recv();
    ASSERT_TRUE(got.has_value());
    EXPECT_EQ(**got, 3);
  });
}

struct counted {
  static inline std::atomic<int> alive{0};
  std::string text;
  explicit counted(std::string value) : text(std::move(value)) { ++alive; }
  counted(counted&& other) noexcept : text(std::move(other.text)) { ++alive; }
  counted& operator=(counted&&) = delete;
  ~counted() { --alive; }
};

TEST_P(channels, elements_are_moved_and_destroyed_exactly_once) {
  run([] {
    counted::alive = 0;
    {
      rt::chan<counted> channel(4);
      rt::wait_group group;
      for (int i = 0; i < 8; ++i) {
        group.go([&, i] {
          for (int j = 0; j < scaled(200); ++j)
            channel.send(counted(std::to_string(i * 1000 + j) + std::string(40, 'x')));
        });
      }
      rt::wait_group readers;
      std::atomic<int> got{0};
      for (int i = 0; i < 3; ++i) {
        readers.go([&] {
          for (counted& one : channel) got += one.text.size() > 40 ? 1 : 0;
        });
      }
      group.wait();
      channel.send(counted("left in the buffer and taken by a reader, or not" + std::string(40, 'y')));
      channel.close();
      readers.wait();
      EXPECT_EQ(got.load(), 8 * scaled(200) + 1);
      rt::chan<counted> left(3);
      left.send(counted("never received"));
    }
    EXPECT_EQ(counted::alive.load(), 0);
  });
}

TEST_P(channels, many_to_many_lose_and_double_nothing) {
  run([] {
    for (std::size_t capacity : {0U, 1U, 7U, 128U}) {
      rt::chan<int> channel(capacity);
      constexpr int senders = 8;
      int each = scaled(5000);
      std::vector<std::atomic<int>> seen(static_cast<std::size_t>(senders * each));
      rt::wait_group sending;
      rt::wait_group receiving;
      for (int s = 0; s < senders; ++s) {
        sending.go([&, s] {
          for (int i = 0; i < each; ++i) channel.send(s * each + i);
        });
      }
      for (int r = 0; r < 5; ++r) {
        receiving.go([&] {
          std::vector<int> last(senders, -1);
          for (int value : channel) {
            ++seen[static_cast<std::size_t>(value)];
            int& before = last[static_cast<std::size_t>(value / each)];
            if (value <= before) ADD_FAILURE() << "out of order";
            before = value;
          }
        });
      }
      sending.wait();
      channel.close();
      receiving.wait();
      int wrong = 0;
      for (std::atomic<int>& one : seen) wrong += one == 1 ? 0 : 1;
      EXPECT_EQ(wrong, 0) << "capacity " << capacity;
    }
  });
}

TEST_P(channels, storms_of_deadlines_lose_nothing) {
  run([] {
    rt::chan<int> channel;
    std::atomic<long> sent{0};
    std::atomic<long> received{0};
    std::atomic<bool> stop{false};
    rt::wait_group senders;
    rt::wait_group receivers;
    for (int i = 0; i < 6; ++i) {
      senders.go([&, i] {
        for (int j = 0; j < scaled(1500); ++j) {
          if (channel.send_for(1, std::chrono::microseconds((i * 7 + j) % 60))) ++sent;
        }
      });
      receivers.go([&, i] {
        int j = 0;
        while (!stop) {
          if (channel.recv_for(std::chrono::microseconds((i * 11 + ++j) % 50))) ++received;
        }
      });
    }
    senders.wait();
    stop = true;
    receivers.wait();
    EXPECT_EQ(sent.load(), received.load());
  });
}

TEST_P(channels, handles_compare_and_outlive_each_other) {
  run([] {
    rt::chan<int> one(1);
    rt::chan<int> same = one;
    EXPECT_EQ(one, same);
    EXPECT_NE(one, rt::chan<int>(1));
    {
      rt::chan<int> gone = std::move(one);
      gone.send(3);
    }
    EXPECT_FALSE(static_cast<bool>(one));  // NOLINT(bugprone-use-after-move): that is what is looked at
    EXPECT_EQ(same.recv(), 3);
    EXPECT_THROW(rt::chan<std::string>(SIZE_MAX / 2), std::length_error);
  });
}

TEST_P(channels, foreign_threads_may_try) {
  run([] {
    rt::chan<int> channel(4);
    std::thread outside([channel] {
      int sent = 0;
      while (sent < 1000) sent += channel.try_send(1) ? 1 : 0;
    });
    for (int i = 0; i < 1000; ++i) EXPECT_EQ(channel.recv(), 1);
    rt::blocking([&] { outside.join(); });
  });
}

TEST_P(channels, prime_sieve) {
  run([] {
    rt::scope scope;
    rt::chan<int> numbers;
    scope.go([=] {
      for (int i = 2;; ++i) numbers.send(i);
    });
    rt::chan<int> source = numbers;
    int prime = 0;
    for (int i = 0; i < 50; ++i) {
      prime = *source.recv();
      rt::chan<int> filtered;
      scope.go([in = source, filtered, prime] {
        while (true) {
          int value = *in.recv();
          if (value % prime != 0) filtered.send(value);
        }
      });
      source = filtered;
    }
    EXPECT_EQ(prime, 229);
    scope.cancel();
    scope.wait();
  });
}

}  // namespace
