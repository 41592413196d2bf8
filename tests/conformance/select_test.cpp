// Behaviours 17 to 25: select.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cmath>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "rt/rt.h"
#include "tests/conformance/conformance.h"

namespace {

using namespace std::chrono_literals;
using namespace conformance;
RT_ON_PROCS(conformance_select);

// Two of `trials` equally likely outcomes: within ten standard deviations of half and half.
void expect_even(long first, long trials) {
  const double sigma = std::sqrt(static_cast<double>(trials)) / 2;
  EXPECT_NEAR(static_cast<double>(first), static_cast<double>(trials) / 2, 10 * sigma);
}

TEST_P(conformance_select, b017_two_ready_cases_are_chosen_about_evenly) {
  run([] {
    constexpr long trials = 10'000;
    rt::chan<int> a(trials + 1);
    rt::chan<int> b(trials + 1);
    const rt::chan<int> idle;
    const rt::chan<int> none(nullptr);
    for (int i = 0; i <= trials; ++i) {
      a.send(1);
      b.send(2);
    }
    long received_from_a = 0;
    auto count_a = [&](auto) { ++received_from_a; };
    auto nothing = [](auto) {};
    auto never = [](auto) { ADD_FAILURE(); };
    for (int i = 0; i < trials; ++i) {
      // What is never ready shifts the choice to neither side.
      rt::select(rt::on_recv(idle, never), rt::on_recv(none, never), rt::on_recv(a, count_a), rt::on_recv(b, nothing));
    }
    expect_even(received_from_a, trials);

    rt::chan<int> to_a(trials);
    rt::chan<int> to_b(trials);
    long sent_to_a = 0;
    for (int i = 0; i < trials; ++i) {
      rt::select(rt::on_send(to_a, i, [&] { ++sent_to_a; }), rt::on_recv(idle, never), rt::on_send(to_b, i, [] {}));
    }
    expect_even(sent_to_a, trials);
  });
}

TEST_P(conformance_select, b017_every_ready_case_of_many_is_reached) {
  run([] {
    std::array<rt::chan<int>, 10> channels;
    for (auto& one : channels) {
      one = rt::chan<int>(1);
      one.send(0);
    }
    std::array<int, 10> chosen{};
    constexpr int trials = 10'000;
    for (int i = 0; i < trials; ++i) {
      auto on = [&](std::size_t index) {
        return rt::on_recv(channels[index], [&chosen, &channels, index](auto) {
          ++chosen[index];
          channels[index].send(0);
        });
      };
      rt::select(on(0), on(1), on(2), on(3), on(4), on(5), on(6), on(7), on(8), on(9));
    }
    const double sigma = std::sqrt(trials * 0.1 * 0.9);
    for (int count : chosen) EXPECT_NEAR(count, trials / 10.0, 10 * sigma);
  });
}

// Three of five, with idle ones between them.
TEST_P(conformance_select, b017_idle_cases_do_not_shift_the_choice) {
  run([] {
    std::array<rt::chan<int>, 5> channels{rt::chan<int>(1), rt::chan<int>(1), rt::chan<int>(1), rt::chan<int>(1),
                                          rt::chan<int>(1)};
    for (std::size_t ready : {0U, 1U, 3U}) channels[ready].send(0);
    std::array<int, 5> chosen{};
    constexpr int trials = 10'000;
    for (int i = 0; i < trials; ++i) {
      auto on = [&](std::size_t index) {
        return rt::on_recv(channels[index], [&chosen, &channels, index](auto) {
          ++chosen[index];
          channels[index].send(0);
        });
      };
      rt::select(on(0), on(1), on(2), on(3), on(4));
    }
    const double sigma = std::sqrt(trials * (1.0 / 3) * (2.0 / 3));
    for (std::size_t ready : {0U, 1U, 3U}) EXPECT_NEAR(chosen[ready], trials / 3.0, 10 * sigma) << ready;
  });
}

TEST_P(conformance_select, b018_both_of_two_equal_sends_happen) {
  run([] {
    constexpr int count = 1000;
    for (std::size_t capacity : {0U, 1U, 10U}) {
      rt::chan<int> channel(capacity);
      rt::scope scope;
      scope.go([&] {
        for (int i = 0; i < count; ++i) rt::select(rt::on_send(channel, 0, [] {}), rt::on_send(channel, 1, [] {}));
      });
      int ones = 0;
      for (int i = 0; i < count; ++i) {
        rt::yield();
        ones += *channel.recv();
      }
      scope.wait();
      EXPECT_GE(ones, count / 10) << "capacity " << capacity;
      EXPECT_LE(ones, count - count / 10) << "capacity " << capacity;
    }
  });
}

TEST_P(conformance_select, b019_at_most_one_case_fires) {
  run([] {
    const int count = scaled(100'000);
    std::array<rt::chan<int>, 4> channels;
    rt::chan<int> merged(16);
    rt::scope scope;
    scope.go([&] {
      for (int i = 0; i < count; ++i) {
        int fired = 0;
        auto fire = [&] { ++fired; };
        rt::select(rt::on_send(channels[0], i, fire), rt::on_send(channels[1], i, fire),
                   rt::on_send(channels[2], i, fire), rt::on_send(channels[3], i, fire));
        ASSERT_EQ(fired, 1);
      }
      for (auto& one : channels) one.close();
    });
    rt::wait_group receivers;
    for (auto& one : channels) {
      receivers.go([&merged, one] {
        for (int value : one) merged.send(value);
      });
    }
    scope.go([&] {
      receivers.wait();
      merged.close();
    });
    std::vector<unsigned char> seen(static_cast<std::size_t>(count));
    for (int value : merged) ASSERT_EQ(++seen[static_cast<std::size_t>(value)], 1) << value << " was sent twice";
    scope.wait();
    for (int i = 0; i < count; ++i) ASSERT_EQ(seen[static_cast<std::size_t>(i)], 1) << i << " was lost";
  });
}

TEST_P(conformance_select, b020_sending_and_receiving_on_one_channel_in_one_select) {
  run([] {
    const int rounds = scaled(20'000);
    for (std::size_t capacity : {0U, 1U, 10U}) {
      rt::chan<int> channel(capacity);
      std::array<std::atomic<long>, 2> sent{};
      std::array<std::atomic<long>, 2> received{};
      rt::scope scope;
      for (std::size_t who = 0; who < 2; ++who) {
        scope.go([&, who] {
          for (int i = 0; i < rounds; ++i) {
            rt::select(rt::on_send(channel, static_cast<int>(who), [&] { ++sent[who]; }),
                       rt::on_recv(channel, [&](std::optional<int> value) {
                         if (capacity == 0) {
                           EXPECT_NE(*value, static_cast<int>(who)) << "received from itself";
                         }
                         ++received[static_cast<std::size_t>(*value)];
                       }));
          }
        });
      }
      // Without a buffer the last partner may be missing for one; with one, values may be left in it.
      if (capacity == 0) {
        EXPECT_TRUE(eventually([&] { return sent[0] + sent[1] + received[0] + received[1] == 2L * rounds; }));
      }
      scope.wait();
      EXPECT_EQ(sent[0] + sent[1], received[0] + received[1] + static_cast<long>(channel.size()));
    }
  });
}

TEST_P(conformance_select, b021_the_same_channel_twice_leaves_no_trace_in_its_queue) {
  run([] {
    for (int round = 0; round < scaled(2000); ++round) {
      rt::chan<int> twice;
      rt::chan<int> other;
      std::atomic<int> got{0};
      rt::scope scope;
      scope.go(named("selector"), [&] {
        rt::select(rt::on_recv(twice, [](auto) { ADD_FAILURE(); }), rt::on_recv(twice, [](auto) { ADD_FAILURE(); }),
                   rt::on_recv(other, [](auto) {}));
        other.send(0);
      });
      if (round % 100 == 0) {
        ASSERT_TRUE(come_to_wait("selector", "select"));
      }
      scope.go(named("plain"), [&] { got = *twice.recv(); });
      if (round % 100 == 0) {
        ASSERT_TRUE(come_to_wait("plain", "chan receive"));
      }
      other.send(1);
      other.recv();
      twice.send(7);  // goes to the plain receiver, past what the select left
      scope.wait();
      EXPECT_EQ(got, 7);
    }
  });
}

TEST_P(conformance_select, b021_a_waiter_behind_a_select_that_chose_another_case_is_still_woken) {
  run([] {
    rt::chan<int> contested;
    rt::chan<int> way_out;
    rt::scope scope;
    scope.go(named("selector"), [&] {
      rt::select(rt::on_send(contested, 1, [] { ADD_FAILURE(); }), rt::on_send(contested, 2, [] { ADD_FAILURE(); }),
                 rt::on_recv(way_out, [](auto) {}));
    });
    ASSERT_TRUE(come_to_wait("selector", "select"));
    scope.go(named("plain"), [&] { contested.send(3); });
    ASSERT_TRUE(come_to_wait("plain", "chan send"));
    way_out.send(0);
    EXPECT_EQ(contested.recv(), 3);
    scope.wait();
  });
}

TEST_P(conformance_select, b022_what_blocks_and_what_does_not) {
  run([] {
    const rt::chan<int> none(nullptr);
    const rt::chan<int> empty;
    rt::chan<int> closed;
    closed.close();
    auto never = [](auto) { ADD_FAILURE(); };
    auto never_sent = [] { ADD_FAILURE(); };
    int defaults = 0;
    auto otherwise = [&] { ++defaults; };
    rt::select(rt::otherwise(otherwise));
    rt::select(rt::on_recv(none, never), rt::otherwise(otherwise));
    rt::select(rt::on_send(none, 1, never_sent), rt::otherwise(otherwise));
    rt::select(rt::on_recv(empty, never), rt::on_send(empty, 1, never_sent), rt::on_recv(none, never),
               rt::otherwise(otherwise));
    EXPECT_EQ(defaults, 4);

    int ended = 0;
    auto end = [&](std::optional<int> value) { ended += value.has_value() ? 0 : 1; };
    rt::select(rt::on_recv(closed, end));
    rt::select(rt::on_recv(none, never), rt::on_recv(closed, end));
    rt::select(rt::on_recv(closed, end), rt::otherwise([] { ADD_FAILURE() << "a closed channel is ready"; }));
    EXPECT_EQ(ended, 3);
    EXPECT_THROW(rt::select(rt::on_send(closed, 1, never_sent)), rt::channel_closed);
    EXPECT_THROW(rt::select(rt::on_send(closed, 1, never_sent), rt::otherwise(otherwise)), rt::channel_closed);
    EXPECT_EQ(defaults, 4);

    rt::scope scope;
    scope.go(named("no case"), [] { rt::select(); });
    scope.go(named("no channel"), [&] { rt::select(rt::on_recv(none, never), rt::on_send(none, 1, never_sent)); });
    EXPECT_TRUE(come_to_wait("no case", "select (no cases)"));
    EXPECT_TRUE(come_to_wait("no channel", "select (no cases)"));
    scope.cancel();
    scope.wait();
  });
}

TEST_P(conformance_select, b023_stress_of_all_forms_keeps_the_counts) {
  run([] {
    const int count = scaled(20'000);
    std::array<rt::chan<int>, 4> channels{rt::chan<int>(), rt::chan<int>(), rt::chan<int>(2), rt::chan<int>(3)};
    std::array<std::atomic<long>, 4> sent{};
    std::array<std::atomic<long>, 4> received{};
    rt::scope scope;
    for (std::size_t c = 0; c < 4; ++c) {
      scope.go([&, c] {
        for (int i = 0; i < count; ++i) {
          channels[c].send(i);
          ++sent[c];
        }
      });
      scope.go([&, c] {
        for (int i = 0; i < count; ++i) {
          channels[c].recv();
          ++received[c];
        }
      });
    }
    // Each of these two sends, or receives, `count` values on every channel; a channel that has had its values is taken
    // out of the choice.
    const rt::chan<int> none(nullptr);
    scope.go([&] {
      std::array<int, 4> left;
      left.fill(count);
      auto on = [&](std::size_t c) {
        return rt::on_send(left[c] > 0 ? channels[c] : none, left[c], [&, c] {
          --left[c];
          ++sent[c];
        });
      };
      while (left[0] + left[1] + left[2] + left[3] > 0) rt::select(on(0), on(1), on(2), on(3));
    });
    scope.go([&] {
      std::array<int, 4> left;
      left.fill(count);
      auto on = [&](std::size_t c) {
        return rt::on_recv(left[c] > 0 ? channels[c] : none, [&, c](std::optional<int> value) {
          EXPECT_TRUE(value.has_value());
          --left[c];
          ++received[c];
        });
      };
      while (left[0] + left[1] + left[2] + left[3] > 0) rt::select(on(0), on(1), on(2), on(3));
    });
    scope.wait();
    for (std::size_t c = 0; c < 4; ++c) {
      EXPECT_EQ(sent[c], 2L * count);
      EXPECT_EQ(received[c], 2L * count);
      EXPECT_EQ(channels[c].size(), 0U);
    }
  });
}

TEST_P(conformance_select, b024_a_long_loop_of_selects_does_not_grow_memory) {
  run([] {
    rt::chan<int> data;
    rt::chan<int> never;
    rt::scope scope;
    auto exchange = [&](int count) {
      scope.go([&, count] {
        for (int i = 0; i < count; ++i) {
          rt::select(rt::on_send(data, i, [] {}), rt::on_recv(never, [](auto) { ADD_FAILURE(); }));
        }
      });
      for (int i = 0; i < count; ++i) {
        rt::select(rt::on_recv(never, [](auto) { ADD_FAILURE(); }), rt::on_recv(data, [](auto) {}));
      }
    };
    exchange(1000);
    const std::size_t before = allocated_bytes();
    exchange(scaled(100'000));
    EXPECT_LT(allocated_bytes(), before + 100'000);
    scope.wait();
  });
}

// C++ evaluates the arguments of a call once each, in an order of its own choosing.
TEST_P(conformance_select, b025_operands_are_evaluated_once_also_of_cases_that_are_not_chosen) {
  run([] {
    rt::chan<int> ready(1);
    rt::chan<int> idle;
    ready.send(5);
    std::array<int, 4> evaluated{};
    auto channel = [&](std::size_t which, const rt::chan<int>& one) -> const rt::chan<int>& {
      ++evaluated[which];
      return one;
    };
    auto value = [&](std::size_t which) { return ++evaluated[which]; };
    int got = 0;
    rt::select(rt::on_recv(channel(0, ready), [&](std::optional<int> v) { got = *v; }),
               rt::on_send(channel(1, idle), value(2), [] { ADD_FAILURE(); }),
               rt::on_recv(channel(3, idle), [](auto) { ADD_FAILURE(); }));
    EXPECT_EQ(got, 5);
    EXPECT_EQ(evaluated, (std::array<int, 4>{1, 1, 1, 1}));

    // A value of a case that is not chosen is dropped, not sent.
    auto kept = std::make_shared<int>(1);
    rt::chan<std::shared_ptr<int>> full;
    rt::select(rt::on_send(full, kept, [] { ADD_FAILURE(); }), rt::otherwise([] {}));
    EXPECT_EQ(kept.use_count(), 1);
  });
}

TEST_P(conformance_select, b025_leaving_a_handler_leaves_the_select_only) {
  run([] {
    rt::chan<int> numbers(10);
    for (int i = 0; i < 10; ++i) numbers.send(i);
    int odd = 0;
    int turns = 0;
    for (; turns < 10; ++turns) {
      rt::select(rt::on_recv(numbers, [&](std::optional<int> value) {
        if (*value % 2 == 0) return;  // Go's break
        ++odd;
      }));
    }
    EXPECT_EQ(turns, 10);
    EXPECT_EQ(odd, 5);

    // An exception leaves it as well, after the operation was done.
    numbers.send(1);
    EXPECT_THROW(rt::select(rt::on_recv(numbers, [](auto) { throw std::runtime_error("out"); })), std::runtime_error);
    EXPECT_EQ(numbers.size(), 0U);
    // The discard form: the value is taken and dropped.
    numbers.send(2);
    rt::select(rt::on_recv(numbers, [](auto) {}));
    EXPECT_EQ(numbers.size(), 0U);
  });
}

}  // namespace
