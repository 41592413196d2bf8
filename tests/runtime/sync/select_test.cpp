#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <memory>
#include <optional>
#include <string>

#include "rt/rt.h"
#include "tests/runtime/in_runtime.h"

namespace {

using namespace std::chrono_literals;
using rt_test::scaled;
RT_ON_PROCS(selecting);

TEST_P(selecting, takes_what_is_ready) {
  run([] {
    rt::chan<int> in(1);
    rt::chan<std::string> out(1);
    in.send(4);
    int got = 0;
    rt::select(rt::on_recv(in, [&](std::optional<int> value) { got = *value; }),
               rt::on_recv(rt::chan<int>(), [](auto) { ADD_FAILURE(); }));
    EXPECT_EQ(got, 4);
    bool sent = false;
    rt::select(rt::on_recv(in, [](auto) { ADD_FAILURE(); }), rt::on_send(out, "hello", [&] { sent = true; }));
    EXPECT_TRUE(sent);
    EXPECT_EQ(out.recv(), "hello");
  });
}

TEST_P(selecting, chooses_at_random_among_the_ready) {
  run([] {
    std::array<rt::chan<int>, 4> channels{rt::chan<int>(1), rt::chan<int>(1), rt::chan<int>(1), rt::chan<int>(1)};
    std::array<int, 4> chosen{};
    for (auto& one : channels) one.send(0);
    constexpr int rounds = 4000;
    for (int i = 0; i < rounds; ++i) {
      auto refill = [&](std::size_t index) {
        return [&, index](std::optional<int>) {
          ++chosen[index];
          channels[index].send(0);
        };
      };
      rt::select(rt::on_recv(channels[0], refill(0)), rt::on_recv(channels[1], refill(1)),
                 rt::on_recv(channels[2], refill(2)), rt::on_recv(channels[3], refill(3)));
    }
    // 1000 each is expected; 5 standard deviations are 137.
    for (int count : chosen) EXPECT_NEAR(count, rounds / 4.0, 200);
  });
}

TEST_P(selecting, otherwise_and_after) {
  run([] {
    rt::chan<int> empty;
    bool otherwise = false;
    rt::select(rt::on_recv(empty, [](auto) { ADD_FAILURE(); }), rt::otherwise([&] { otherwise = true; }));
    EXPECT_TRUE(otherwise);
    auto start = rt::now();
    bool timed_out = false;
    rt::select(rt::on_recv(empty, [](auto) { ADD_FAILURE(); }), rt::after(3ms, [&] { timed_out = true; }));
    EXPECT_TRUE(timed_out);
    EXPECT_GE(rt::now() - start, 3ms);
    timed_out = false;
    rt::select(rt::on_recv(rt::chan<int>(nullptr), [](auto) { ADD_FAILURE(); }),
               rt::after(1ms, [&] { timed_out = true; }));
    EXPECT_TRUE(timed_out) << "no channel is never ready";
    timed_out = false;
    rt::select(rt::after(-1s, [&] { timed_out = true; }));
    EXPECT_TRUE(timed_out);
  });
}

TEST_P(selecting, closed_channels_are_ready) {
  run([] {
    rt::chan<int> closed;
    closed.close();
    bool empty = false;
    rt::select(rt::on_recv(closed, [&](std::optional<int> value) { empty = !value; }));
    EXPECT_TRUE(empty);
    EXPECT_THROW(rt::select(rt::on_send(closed, 1, [] { ADD_FAILURE(); })), rt::channel_closed);
    rt::chan<int> closes;
    rt::go([=] {
      rt::sleep_for(1ms);
      closes.close();
    });
    EXPECT_THROW(rt::select(rt::on_send(closes, 1, [] { ADD_FAILURE(); })), rt::channel_closed);
  });
}

TEST_P(selecting, two_selects_meet) {
  run([] {
    rt::chan<int> a;
    rt::chan<int> b;
    int rounds = scaled(5000);
    std::atomic<long> got{0};
    rt::wait_group group;
    group.go([&] {
      for (int i = 0; i < rounds; ++i) rt::select(rt::on_send(a, 1, [] {}), rt::on_send(b, 2, [] {}));
    });
    group.go([&] {
      for (int i = 0; i < rounds; ++i) {
        rt::select(rt::on_recv(a, [&](std::optional<int> v) { got += *v > 0 ? 1 : 0; }),
                   rt::on_recv(b, [&](std::optional<int> v) { got += *v > 0 ? 1 : 0; }));
      }
    });
    group.wait();
    EXPECT_EQ(got.load(), rounds);
  });
}

TEST_P(selecting, the_same_channel_twice_and_both_directions) {
  run([] {
    rt::chan<int> one;
    // Its own send cannot meet its own receive.
    bool timed_out = false;
    rt::select(rt::on_send(one, 1, [] { ADD_FAILURE(); }), rt::on_recv(one, [](auto) { ADD_FAILURE(); }),
               rt::after(2ms, [&] { timed_out = true; }));
    EXPECT_TRUE(timed_out);
    rt::go([=] { one.send(3); });
    int got = 0;
    rt::select(rt::on_recv(one, [&](auto v) { got = *v; }), rt::on_recv(one, [&](auto v) { got = *v; }));
    EXPECT_EQ(got, 3);
  });
}

TEST_P(selecting, more_cases_than_fit_on_the_stack) {
  run([] {
    std::array<rt::chan<int>, 10> c;
    int got = -1;
    rt::go([&] {
      rt::sleep_for(1ms);
      c[9].send(9);
    });
    auto on = [&](std::size_t i) { return rt::on_recv(c[i], [&](std::optional<int> v) { got = *v; }); };
    rt::select(on(0), on(1), on(2), on(3), on(4), on(5), on(6), on(7), on(8), on(9));
    EXPECT_EQ(got, 9);
  });
}

TEST_P(selecting, storms_of_timeouts_lose_nothing) {
  run([] {
    rt::chan<std::unique_ptr<int>> a;
    rt::chan<std::unique_ptr<int>> b;
    std::atomic<long> sent{0};
    std::atomic<long> received{0};
    std::atomic<bool> stop{false};
    rt::wait_group senders;
    rt::wait_group receivers;
    for (int i = 0; i < 4; ++i) {
      senders.go([&, i] {
        for (int j = 0; j < scaled(2000); ++j) {
          rt::select(rt::on_send(a, std::make_unique<int>(1), [&] { ++sent; }),
                     rt::on_send(b, std::make_unique<int>(1), [&] { ++sent; }),
                     rt::after(std::chrono::microseconds((i + j) % 40), [] {}));
        }
      });
      receivers.go([&, i] {
        int j = 0;
        while (!stop) {
          auto count = [&](std::optional<std::unique_ptr<int>> v) { received += *v.value(); };
          rt::select(rt::on_recv(a, count), rt::on_recv(b, count),
                     rt::after(std::chrono::microseconds((i * 3 + ++j) % 40), [] {}));
        }
      });
    }
    senders.wait();
    stop = true;
    receivers.wait();
    EXPECT_EQ(sent.load(), received.load());
  });
}

}  // namespace
