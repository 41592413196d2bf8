// Behaviours 1 to 10 and 13 to 16: channels by themselves.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <any>
#include <array>
#include <atomic>
#include <ctime>
#include <memory>
#include <new>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include "rt/rt.h"
#include "tests/conformance/conformance.h"

namespace {

using namespace std::chrono_literals;
using namespace conformance;
RT_ON_PROCS(conformance_channels);

struct signal {};

TEST_P(conformance_channels, b001_receiving_from_an_empty_channel_blocks) {
  run([] {
    for (std::size_t capacity : {0U, 1U, 2U, 7U, 100U}) {
      rt::chan<int> empty(capacity);
      rt::chan_status status = rt::chan_status::ok;
      EXPECT_EQ(empty.try_recv(&status), std::nullopt);
      EXPECT_EQ(status, rt::chan_status::would_block);
      bool nothing = false;
      rt::select(rt::on_recv(empty, [](auto) { ADD_FAILURE(); }), rt::otherwise([&] { nothing = true; }));
      EXPECT_TRUE(nothing);
      std::atomic<int> got{0};
      rt::scope scope;
      scope.go(named("receiver"), [&] { got += *empty.recv(); });
      ASSERT_TRUE(come_to_wait("receiver", "chan receive"));
      scope.go(named("selector"), [&] { rt::select(rt::on_recv(empty, [&](std::optional<int> v) { got += *v; })); });
      ASSERT_TRUE(come_to_wait("selector", "select"));
      EXPECT_EQ(got, 0);
      empty.send(3);
      empty.send(4);
      scope.wait();
      EXPECT_EQ(got, 7);
    }
  });
}

TEST_P(conformance_channels, b002_sending_on_a_full_channel_blocks) {
  run([] {
    for (std::size_t capacity : {0U, 1U, 2U, 7U, 100U}) {
      rt::chan<int> full(capacity);
      for (std::size_t i = 0; i < capacity; ++i) EXPECT_TRUE(full.try_send(1));
      EXPECT_FALSE(full.try_send(2));
      bool nothing = false;
      rt::select(rt::on_send(full, 2, [] { ADD_FAILURE(); }), rt::otherwise([&] { nothing = true; }));
      EXPECT_TRUE(nothing);
      std::atomic<int> sent{0};
      rt::scope scope;
      scope.go(named("sender"), [&] {
        full.send(3);
        ++sent;
      });
      ASSERT_TRUE(come_to_wait("sender", "chan send"));
      scope.go(named("selector"), [&] { rt::select(rt::on_send(full, 4, [&] { ++sent; })); });
      ASSERT_TRUE(come_to_wait("selector", "select"));
      EXPECT_EQ(sent, 0);
      std::vector<int> got;
      for (std::size_t i = 0; i < capacity + 2; ++i) got.push_back(*full.recv());
      scope.wait();
      EXPECT_EQ(sent, 2);
      EXPECT_EQ(got[capacity], 3) << "blocked senders are served in the order in which they came";
      EXPECT_EQ(got[capacity + 1], 4);
      EXPECT_EQ(std::accumulate(got.begin(), got.end(), 0), static_cast<int>(capacity) + 7);
    }
  });
}

// Sends `count` values in one of three ways.
template <class T, class Make>
void send_in_form(const rt::chan<T>& out, int count, int form, const Make& make) {
  for (int i = 0; i < count; ++i) {
    if (form == 0) {
      out.send(make(i));
    } else if (form == 1) {
      while (!out.try_send(make(i))) rt::yield();
    } else {
      rt::select(rt::on_send(out, make(i), [] {}));
    }
  }
  out.close();
}

// Calls `take` with all values until the channel is drained, received in one of four ways.
template <class T, class Take>
void receive_in_form(const rt::chan<T>& in, int form, const Take& take) {
  if (form == 0) {
    while (std::optional<T> value = in.recv()) take(*value);
  } else if (form == 1) {
    rt::chan_status status = rt::chan_status::ok;
    while (status != rt::chan_status::closed) {
      std::optional<T> value = in.try_recv(&status);
      if (value) {
        take(*value);
      } else {
        rt::yield();
      }
    }
  } else if (form == 2) {
    for (const T& value : in) take(value);
  } else {
    bool open = true;
    while (open) {
      rt::select(rt::on_recv(in, [&](std::optional<T> value) {
        open = value.has_value();
        if (open) take(*value);
      }));
    }
  }
}

TEST_P(conformance_channels, b003_values_arrive_in_order_for_every_capacity) {
  run([] {
    constexpr int count = 100;
    const auto number = [](int i) { return i; };
    const auto text = [](int i) { return std::string(static_cast<std::size_t>(i % 40), 'x') + std::to_string(i); };
    for (int capacity = 0; capacity <= scaled(200); ++capacity) {
      for (int form = 0; form < 12; ++form) {
        if (capacity == 0 && form == 4) continue;  // neither side waits, so they never meet
        rt::chan<int> numbers(static_cast<std::size_t>(capacity));
        rt::chan<std::string> texts(static_cast<std::size_t>(capacity));
        rt::scope scope;
        scope.go([&] { send_in_form(numbers, count, form % 3, number); });
        scope.go([&] { send_in_form(texts, count, form % 3, text); });
        int next = 0;
        receive_in_form(numbers, form / 3, [&](int value) { ASSERT_EQ(value, next++); });
        EXPECT_EQ(next, count);
        next = 0;
        receive_in_form(texts, form / 3, [&](const std::string& value) { ASSERT_EQ(value, text(next++)); });
        EXPECT_EQ(next, count);
        scope.wait();
      }
    }
  });
}

// A chain of green threads that hand a turn on, each over a channel of its own: the order is the order of the chain.
TEST_P(conformance_channels, b003_a_chain_of_turns_keeps_its_order) {
  run([] {
    const int count = scaled(2000);
    std::vector<int> order;
    rt::scope scope;
    rt::chan<int> turn(1);
    turn.send(0);
    for (int i = 0; i < count; ++i) {
      rt::chan<int> after_me;
      scope.go([&order, turn, after_me, i, count] {
        order.push_back(*turn.recv());
        if (i + 1 < count) after_me.send(i + 1);
      });
      turn = after_me;
    }
    scope.wait();
    ASSERT_EQ(order.size(), static_cast<std::size_t>(count));
    for (int i = 0; i < count; ++i) EXPECT_EQ(order[static_cast<std::size_t>(i)], i);
  });
}

TEST_P(conformance_channels, b004_closing_wakes_all_receivers_after_the_buffer_is_drained) {
  run([] {
    for (std::size_t capacity : {0U, 1U, 10U}) {
      constexpr std::size_t receivers = 20;
      rt::chan<int> blocked(capacity);
      std::atomic<int> ended{0};
      rt::scope scope;
      for (std::size_t i = 0; i < receivers; ++i) {
        scope.go(named("receiver"), [&, i] {
          if (i % 2 == 0) {
            ended += blocked.recv().has_value() ? 0 : 1;
          } else {
            rt::chan<int> never;
            rt::select(rt::on_recv(never, [](auto) { ADD_FAILURE(); }),
                       rt::on_recv(blocked, [&](std::optional<int> v) { ended += v.has_value() ? 0 : 1; }));
          }
        });
      }
      ASSERT_TRUE(eventually([&] {
        return count_in_state("receiver", "chan receive") == receivers / 2 &&
               count_in_state("receiver", "select") == receivers / 2;
      }));
      blocked.close();
      scope.wait();
      EXPECT_EQ(ended, static_cast<int>(receivers));

      rt::chan<int> filled(capacity);
      for (std::size_t i = 0; i < capacity; ++i) filled.send(static_cast<int>(i));
      filled.close();
      for (std::size_t i = 0; i < capacity; ++i) EXPECT_EQ(filled.recv(), static_cast<int>(i));
      rt::chan_status status = rt::chan_status::ok;
      EXPECT_EQ(filled.recv(), std::nullopt);
      EXPECT_EQ(filled.try_recv(&status), std::nullopt);
      EXPECT_EQ(status, rt::chan_status::closed);
    }
  });
}

template <class Error, class Call>
std::string text_of(const Call& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

TEST_P(conformance_channels, b005_each_misuse_of_a_closed_channel_has_its_own_error) {
  run([] {
    rt::chan<int> closed(1);
    closed.close();
    rt::chan<int> none(nullptr);
    std::string send = text_of<rt::channel_closed>([&] { closed.send(1); });
    std::string try_send = text_of<rt::channel_closed>([&] { static_cast<void>(closed.try_send(1)); });
    std::string select_send = text_of<rt::channel_closed>(
        [&] { rt::select(rt::on_send(closed, 1, [] {}), rt::otherwise([] { ADD_FAILURE(); })); });
    std::string close = text_of<rt::channel_closed>([&] { closed.close(); });
    std::string close_none = text_of<std::logic_error>([&] { none.close(); });
    EXPECT_THAT(send, testing::StartsWith("rt::chan::send: the channel is closed"));
    EXPECT_EQ(try_send, send);
    EXPECT_EQ(select_send, send);
    EXPECT_THAT(close, testing::StartsWith("rt::chan::close: the channel is closed already"));
    EXPECT_THAT(close_none, testing::StartsWith("rt::chan::close: there is no channel to close"));
  });
}

TEST_P(conformance_channels, b005_a_sender_that_is_blocked_at_close_fails) {
  run([] {
    rt::chan<int> full(1);
    full.send(1);
    std::atomic<int> failed{0};
    rt::scope scope;
    for (int i = 0; i < 10; ++i) {
      scope.go(named("sender"), [&, i] {
        if (i % 2 == 0) {
          EXPECT_THROW(full.send(i), rt::channel_closed);
        } else {
          EXPECT_THROW(rt::select(rt::on_send(full, i, [] { ADD_FAILURE(); })), rt::channel_closed);
        }
        ++failed;
      });
    }
    ASSERT_TRUE(eventually(
        [] { return count_in_state("sender", "chan send") == 5 && count_in_state("sender", "select") == 5; }));
    full.close();
    scope.wait();
    EXPECT_EQ(failed, 10);
    EXPECT_EQ(full.recv(), 1) << "what was in the buffer before";
    EXPECT_EQ(full.recv(), std::nullopt) << "a blocked sender's value";
  });
}

TEST_P(conformance_channels, b006_operations_on_no_channel_block_for_ever_and_a_dump_says_so) {
  run([] {
    rt::chan<int> none(nullptr);
    rt::scope scope;
    scope.go(named("sender"), [&] { none.send(1); });
    scope.go(named("receiver"), [&] { none.recv(); });
    scope.go(named("reader"), [&] {
      for (int value : none) ADD_FAILURE() << value;
    });
    EXPECT_TRUE(come_to_wait("sender", "chan send (nil chan)"));
    EXPECT_TRUE(come_to_wait("receiver", "chan receive (nil chan)"));
    EXPECT_TRUE(come_to_wait("reader", "chan receive (nil chan)"));
    std::string dump = rt::all_stacks();
    EXPECT_NE(dump.find("[chan send (nil chan)] {name: sender}:"), std::string::npos) << dump;
    EXPECT_NE(dump.find("[chan receive (nil chan)] {name: receiver}:"), std::string::npos) << dump;
    EXPECT_FALSE(none.try_send(1));
    EXPECT_EQ(none.try_recv(), std::nullopt);
    scope.cancel();
    scope.wait();
  });
}

TEST_P(conformance_channels, b007_many_producers_and_consumers_deliver_each_value_once) {
  run([] {
    constexpr int producers = 8;
    constexpr int consumers = 8;
    const int each = scaled(10'000);
    for (std::size_t capacity : {0U, 1U, 100U}) {
      rt::chan<int> channel(capacity);
      std::vector<std::atomic<unsigned char>> seen(static_cast<std::size_t>(producers * each));
      rt::wait_group senders;
      rt::wait_group receivers;
      for (int p = 0; p < producers; ++p) {
        senders.go([&, p] {
          for (int i = 0; i < each; ++i) channel.send(p * each + i);
        });
      }
      for (int c = 0; c < consumers; ++c) {
        receivers.go([&] {
          std::array<int, producers> last;
          last.fill(-1);
          for (int value : channel) {
            ++seen[static_cast<std::size_t>(value)];
            int& before = last[static_cast<std::size_t>(value / each)];
            EXPECT_GT(value, before) << "values of one producer overtook each other";
            before = value;
          }
        });
      }
      senders.wait();
      channel.close();
      receivers.wait();
      for (const auto& count : seen) ASSERT_EQ(count, 1);
    }
  });
}

TEST_P(conformance_channels, b008_signals_without_content) {
  run([] {
    rt::chan<signal> signals(3);
    EXPECT_EQ(signals.capacity(), 3U);
    EXPECT_EQ(signals.size(), 0U);
    signals.send({});
    signals.send({});
    EXPECT_EQ(signals.size(), 2U);
    signals.send({});
    EXPECT_FALSE(signals.try_send(signal{}));
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(signals.recv().has_value());
    EXPECT_EQ(signals.size(), 0U);
    rt::chan<signal> meet;
    rt::scope scope;
    scope.go([&] {
      for (int i = 0; i < 1000; ++i) meet.send({});
      meet.close();
    });
    int got = 0;
    for (signal one : meet) {
      static_cast<void>(one);
      ++got;
    }
    EXPECT_EQ(got, 1000);
  });
}

TEST_P(conformance_channels, b008_a_capacity_that_fits_nowhere_is_an_error) {
  run([] {
    constexpr std::size_t most = SIZE_MAX;
    EXPECT_THROW(rt::chan<long>{most}, std::length_error);
    EXPECT_THROW(rt::chan<long>{most / 8}, std::length_error);
    EXPECT_THROW(rt::chan<signal>{most}, std::length_error);
    EXPECT_THROW((rt::chan<std::array<char, 4096>>{most / 4096 + 2}), std::length_error);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // their allocators end the process
    EXPECT_THROW(rt::chan<long>{most / 32}, std::bad_alloc);
#endif
  });
}

// A value is in the channel, then it is closed: at every moment one of the two is to be had.
TEST_P(conformance_channels, b009_a_receive_that_does_not_block_finds_the_value_or_the_close) {
  run([] {
    rt::chan<int> channel(1);
    race(
        scaled(100'000),
        [&](int round) {
          channel = rt::chan<int>(1);
          channel.send(round);
        },
        [&](int round) {
          rt::chan_status status = rt::chan_status::ok;
          if (round % 2 == 0) {
            channel.try_recv(&status);
            EXPECT_NE(status, rt::chan_status::would_block);
          } else {
            rt::select(rt::on_recv(channel, [](auto) {}), rt::otherwise([&] { ADD_FAILURE() << "round " << round; }));
          }
        },
        [&](int) {
          channel.close();
          channel.recv();
        });
  });
}

// The second channel gets a value before the first one loses its own: one of the two is always ready.
TEST_P(conformance_channels, b009_a_select_that_does_not_block_finds_one_of_two_channels_ready) {
  run([] {
    rt::chan<int> first(1);
    rt::chan<int> second(1);
    bool by_close = false;
    auto prepare = [&](int) {
      first = rt::chan<int>(1);
      second = rt::chan<int>(1);
      first.send(1);
    };
    auto attempt = [&](int round) {
      rt::select(rt::on_recv(first, [](auto) {}), rt::on_recv(second, [](auto) {}),
                 rt::otherwise([&] { ADD_FAILURE() << "no channel was ready in round " << round; }));
    };
    auto interfere = [&](int) {
      if (by_close) {
        second.close();
      } else {
        second.send(1);
      }
      first.try_recv();
    };
    race(scaled(100'000), prepare, attempt, interfere);
    by_close = true;
    race(scaled(100'000), prepare, attempt, interfere);
  });
}

// The processor's time in seconds, which others on the machine do not change.
double cpu_seconds() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

// `count` green threads stand in the list of one channel and are taken out of it one by one, by a value on another
// channel of each: in the order in which they came, or the last ones first and from the middle, which a walk from the
// front would pay most for.
double seconds_to_leave_a_queue_of(int count, bool from_the_front) {
  rt::chan<int> crowded;
  std::vector<rt::chan<int>> own(static_cast<std::size_t>(count));
  std::vector<std::size_t> came;  // who, in this order: they enter one after the other
  rt::scope scope;
  rt::mutex lock;
  for (std::size_t i = 0; i < own.size(); ++i) {
    scope.go(named("waiter"), [&, i] {
      {
        std::lock_guard guard(lock);
        came.push_back(i);
      }
      rt::select(rt::on_recv(crowded, [](auto) { ADD_FAILURE(); }), rt::on_recv(own[i], [](auto) {}));
    });
  }
  EXPECT_TRUE(come_to_wait("waiter", "select", static_cast<std::size_t>(count)));
  double before = cpu_seconds();
  for (std::size_t i = own.size(); i > 0; --i) {
    own[came[from_the_front ? own.size() - i : (i - 1) * 7919 % own.size()]].send(1);
  }
  scope.wait();
  return cpu_seconds() - before;
}

TEST_P(conformance_channels, b010_leaving_the_middle_of_a_queue_does_not_cost_more_when_it_is_long) {
  run([] {
    // As many either way, so that caches and stacks cost the same; a walk costs thousands of steps from the middle.
    const int many = std::max(scaled(8000), 2000);
    double ratio = 0;
    for (int attempt = 0; attempt < 5; ++attempt) {
      double front = seconds_to_leave_a_queue_of(many, true);
      double middle = seconds_to_leave_a_queue_of(many, false);
      ratio = middle / front;
      if (ratio < 4) break;
    }
    EXPECT_LT(ratio, 4);
  });
}

struct fat {
  std::array<std::uint64_t, 40> words;
  static fat of(std::uint64_t seed) {
    fat made;
    for (std::size_t i = 0; i < made.words.size(); ++i) made.words[i] = seed * (i + 1);
    return made;
  }
  bool whole() const {
    for (std::size_t i = 0; i < words.size(); ++i) {
      if (words[i] != words[0] * (i + 1)) return false;
    }
    return true;
  }
};

TEST_P(conformance_channels, b013_fat_and_polymorphic_values_stay_whole_under_contention) {
  run([] {
    const int each = scaled(3000);
    rt::chan<fat> fats[2]{rt::chan<fat>(), rt::chan<fat>(2)};
    rt::chan<std::any> anys(1);
    std::atomic<long> received{0};
    rt::wait_group senders;
    rt::wait_group receivers;
    for (int s = 0; s < 6; ++s) {
      senders.go([&, s] {
        for (int i = 0; i < each; ++i) {
          auto number =
              static_cast<std::uint64_t>(s) * static_cast<std::uint64_t>(each) + static_cast<std::uint64_t>(i) + 1;
          rt::select(rt::on_send(fats[0], fat::of(number), [] {}), rt::on_send(fats[1], fat::of(number), [] {}));
          std::any value = i % 2 == 0 ? std::any(std::string(static_cast<std::size_t>(i % 100), 'a')) : std::any(i);
          // NOLINTBEGIN(bugprone-use-after-move): what was not sent has not been moved
          while (i % 3 == 0 && !anys.try_send(std::move(value))) rt::yield();
          if (i % 3 != 0) anys.send(std::move(value));
          // NOLINTEND(bugprone-use-after-move)
        }
      });
    }
    for (int r = 0; r < 3; ++r) {
      receivers.go([&, r] {
        for (const fat& one : fats[r % 2]) {
          EXPECT_TRUE(one.whole());
          ++received;
        }
      });
      receivers.go([&] {
        for (const std::any& one : anys) {
          const auto* text = std::any_cast<std::string>(&one);
          EXPECT_TRUE(text != nullptr ? *text == std::string(text->size(), 'a') : std::any_cast<int>(one) % 2 == 1);
          ++received;
        }
      });
    }
    senders.wait();
    for (auto& one : fats) one.close();
    anys.close();
    receivers.wait();
    EXPECT_EQ(received, 2L * 6 * each);
  });
}

// Stacks do not move here. What happens to them meanwhile is that the memory of unused ones is given back, and that the
// Ps change.
TEST_P(conformance_channels, b014_a_blocked_senders_value_survives_what_is_done_to_stacks) {
  run([] {
    struct deep {
      static int descend(int levels) {
        volatile char frame[256];
        frame[0] = static_cast<char>(levels);
        return levels == 0 ? frame[0] : descend(levels - 1) + frame[0] - static_cast<char>(levels);
      }
    };
    constexpr int senders = 100;
    rt::chan<std::string> channel;
    rt::scope scope;
    for (int i = 0; i < senders; ++i) {
      scope.go(named("sender"), [&channel, i] {
        EXPECT_EQ(deep::descend(100), 0);  // used and left: its pages lie below the frame that blocks
        channel.send("value " + std::to_string(i));
      });
    }
    ASSERT_TRUE(come_to_wait("sender", "chan send", senders));
    rt::release_memory();
    const int procs = rt::max_procs();
    for (int other : {3, 1, 4, procs}) rt::max_procs(other);
    rt::release_memory();
    std::vector<bool> seen(senders);
    for (int i = 0; i < senders; ++i) {
      std::string value = *channel.recv();
      ASSERT_EQ(value.rfind("value ", 0), 0U) << value;
      seen[static_cast<std::size_t>(std::stoi(value.substr(6)))] = true;
    }
    scope.wait();
    EXPECT_EQ(std::count(seen.begin(), seen.end(), true), senders);
  });
}

struct counted {
  static inline std::atomic<long> alive{0};
  counted() { ++alive; }
  ~counted() { --alive; }
  counted(const counted&) = delete;
  counted& operator=(const counted&) = delete;
};

TEST_P(conformance_channels, b015_a_channel_that_is_dropped_takes_its_values_along) {
  run([] {
    const int rounds = scaled(20'000);
    auto drop_one = [](int i) {
      rt::chan<std::shared_ptr<counted>> channel(10);
      for (int j = 0; j < i % 11; ++j) channel.send(std::make_shared<counted>());
      if (i % 3 == 0) channel.recv_for(0s);
      if (i % 2 == 0) channel.close();
      rt::chan<rt::chan<std::shared_ptr<counted>>> holder(1);
      if (i % 5 == 0) holder.send(channel);
    };
    for (int i = 0; i < 1000; ++i) drop_one(i);
    std::size_t before = allocated_bytes();
    for (int i = 0; i < rounds; ++i) drop_one(i);
    EXPECT_EQ(counted::alive, 0);
    EXPECT_LT(allocated_bytes(), before + 100'000) << "channels are left over";
  });
}

// There is no collector for what channels carry: a value has one owner at each moment, also while it passes straight
// into the frame of a receiver that is parked.
TEST_P(conformance_channels, b016_a_value_that_is_handed_to_a_parked_receiver_stays_alive) {
  run([] {
    using owner = std::unique_ptr<counted>;
    rt::chan<owner> channel;
    rt::chan<owner> never;
    std::atomic<int> got{0};
    rt::scope scope;
    for (int r = 0; r < 8; ++r) {
      scope.go([&, r] {
        for (bool open = true; open;) {
          owner mine;
          auto take = [&](std::optional<owner> value) {
            open = value.has_value();
            if (open) mine = std::move(*value);
          };
          if (r % 2 == 0) {
            take(channel.recv());
          } else {
            rt::select(rt::on_recv(never, [](auto) { ADD_FAILURE(); }), rt::on_recv(channel, take));
          }
          if (!open) break;
          EXPECT_NE(mine, nullptr);
          EXPECT_GE(counted::alive, 1);
          rt::yield();
          ++got;
        }
      });
    }
    const int rounds = scaled(20'000);
    for (int i = 0; i < rounds; ++i) {
      auto value = std::make_unique<counted>();
      if (i % 2 == 0) {
        channel.send(std::move(value));
      } else {
        rt::select(rt::on_send(channel, std::move(value), [] {}), rt::on_recv(never, [](auto) { ADD_FAILURE(); }));
      }
    }
    channel.close();
    scope.wait();
    EXPECT_EQ(got, rounds);
    EXPECT_EQ(counted::alive, 0);
  });
}

}  // namespace
