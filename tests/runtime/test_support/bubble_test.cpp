#include "rt/test.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "rt/rt.h"

namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

// What 20 green threads did, in order. They use channels, select, mutexes, conditions, timers and sleeps, and many of
// their deadlines are equal.
std::vector<std::string> trace_of(std::uint64_t seed) {
  std::vector<std::string> trace;
  rt::test::bubble({.seed = seed}, [&] {
    rt::chan<int> unbuffered;
    rt::chan<int> buffered(3);
    rt::mutex mutex;
    rt::condition changed;
    rt::wait_group group;
    int turns = 0;
    auto note = [&](int who, const std::string& what) {
      trace.push_back(std::to_string(who) + what + "@" + std::to_string((rt::now() - rt::test::start).count()));
    };
    for (int who = 0; who < 20; ++who) {
      group.go([&, who] {
        for (int i = 0; i < 6; ++i) {
          switch ((who + i) % 5) {
            case 0:
              rt::sleep_for(std::chrono::milliseconds(i % 3));
              note(who, "slept");
              break;
            case 1: {
              std::lock_guard guard(mutex);
              rt::yield();  // so that there is contention
              ++turns;
              changed.notify_all();
              note(who, "locked");
              break;
            }
            case 2:
              if (buffered.send_for(int{who}, 1ms)) note(who, "sent");
              break;
            case 3:
              rt::select(
                  rt::on_recv(buffered, [&](std::optional<int> got) { note(who, "got" + std::to_string(*got)); }),
                  rt::on_recv(unbuffered, [&](std::optional<int> got) { note(who, "met" + std::to_string(*got)); }),
                  rt::on_send(unbuffered, who, [&] { note(who, "gave"); }),
                  rt::after(2ms, [&] { note(who, "waited"); }));
              break;
            default: {
              std::unique_lock lock(mutex);
              changed.wait_for(lock, 3ms);
              note(who, "saw" + std::to_string(turns));
              break;
            }
          }
        }
      });
    }
    for (int who = 20; who < 30; ++who) {  // these are cancelled at the end
      rt::go([&trace, who] {
        try {
          rt::chan<int>().recv();
        } catch (const rt::cancelled&) {
          trace.push_back(std::to_string(who) + "ended");
          throw;
        }
      });
    }
    group.wait();
    rt::sleep_for(1s);
  });
  return trace;
}

// Leaves the pool of stacks in another order, so that green threads get other addresses.
void mix_stacks(std::uint64_t seed) {
  rt::test::bubble({.seed = seed + 1000}, [] {
    rt::wait_group group;
    for (int i = 0; i < 40; ++i) group.go([] { rt::yield(); });
    group.wait();
  });
}

TEST(bubble, the_same_seed_gives_the_same_run) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    std::vector<std::string> first = trace_of(seed);
    EXPECT_GE(first.size(), 100U);
    mix_stacks(seed);
    EXPECT_EQ(first, trace_of(seed)) << "seed " << seed;
  }
}

TEST(bubble, other_seeds_give_other_runs) {
  std::set<std::vector<std::string>> different;
  for (std::uint64_t seed = 1; seed <= 100; ++seed) different.insert(trace_of(seed));
  EXPECT_GE(different.size(), 99U);
}

TEST(bubble, a_day_of_sleeps_is_exact_and_takes_the_time_of_its_work) {
  auto real = std::chrono::steady_clock::now();
  rt::test::bubble([] {
    EXPECT_EQ(rt::now(), rt::test::start);
    for (int minute = 0; minute < 24 * 60; ++minute) {
      rt::sleep_for(1min);
      ASSERT_EQ(rt::now() - rt::test::start, (minute + 1) * 1min);
    }
  });
  EXPECT_LT(std::chrono::steady_clock::now() - real, 1h);
  EXPECT_LT(rt::now(), rt::test::start) << "outside of the bubble time is real again";
}

TEST(bubble, time_stands_still_while_something_runs) {
  rt::test::bubble([] {
    bool timer_ran = false;
    rt::timer timer(1ms, [&] { timer_ran = true; });
    auto real = std::chrono::steady_clock::now();
    while (std::chrono::steady_clock::now() - real < 20ms) rt::yield();
    EXPECT_EQ(rt::now(), rt::test::start);
    EXPECT_FALSE(timer_ran);
    rt::sleep_for(1ms);
    rt::yield();
    rt::sleep_for(1ns);
    EXPECT_TRUE(timer_ran);
  });
}

TEST(bubble, all_kinds_of_waits_end_at_their_exact_time) {
  rt::test::bubble([] {
    auto since = [begin = rt::test::start] { return rt::now() - begin; };
    rt::chan<int> empty;
    EXPECT_EQ(empty.recv_for(1s), std::nullopt);
    EXPECT_EQ(since(), 1s);
    EXPECT_FALSE(empty.send_for(1, 1s));
    EXPECT_EQ(since(), 2s);
    rt::select(rt::on_recv(empty, [](std::optional<int>) {}), rt::after(1s, [] {}));
    EXPECT_EQ(since(), 3s);
    EXPECT_EQ(*rt::timer(1s).channel().recv(), rt::test::start + 4s);
    rt::ticker ticker(1h);
    for (int i = 1; i <= 24; ++i) EXPECT_EQ(*ticker.channel().recv(), rt::test::start + 4s + i * 1h);
    ticker.stop();
    rt::sleep_until(rt::test::start + 1000h);
    EXPECT_EQ(since(), 1000h);
    rt::mutex mutex;
    mutex.lock();
    EXPECT_FALSE(mutex.try_lock_for(1h));
    EXPECT_EQ(since(), 1001h);
    mutex.unlock();
    rt::chan<int> none(nullptr);
    EXPECT_EQ(none.recv_for(1h), std::nullopt);
    EXPECT_EQ(since(), 1002h);
    rt::sleep_for(200 * 365 * 24h);  // far, but not beyond the end of time
    EXPECT_EQ(since(), 1002h + 200 * 365 * 24h);
  });
}

// All that are due at one moment are woken before any of them runs, and the seed says who goes first.
TEST(bubble, equal_deadlines_go_in_the_order_of_the_seed) {
  std::set<std::vector<int>> orders;
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    auto order_of = [&] {
      std::vector<int> order;
      rt::test::bubble({.seed = seed}, [&] {
        rt::wait_group group;
        for (int i = 0; i < 5; ++i) {
          group.go([&, i] {
            rt::sleep_until(rt::test::start + 1s);
            order.push_back(i);
          });
        }
        group.wait();
      });
      return order;
    };
    std::vector<int> order = order_of();
    EXPECT_EQ(order, order_of()) << "seed " << seed;
    orders.insert(order);
  }
  EXPECT_GE(orders.size(), 20U) << "of 120 possible ones";
}

TEST(bubble, a_select_takes_the_ready_case_that_the_seed_says) {
  std::set<std::string> choices;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    std::string chosen;
    rt::test::bubble({.seed = seed}, [&] {
      rt::chan<int> left(10);
      rt::chan<int> right(10);
      for (int i = 0; i < 10; ++i) {
        left.send(i);
        right.send(i);
      }
      for (int i = 0; i < 10; ++i) {
        rt::select(rt::on_recv(left, [&](std::optional<int>) { chosen += 'l'; }),
                   rt::on_recv(right, [&](std::optional<int>) { chosen += 'r'; }));
      }
    });
    choices.insert(chosen);
  }
  EXPECT_GE(choices.size(), 15U);
}

__attribute__((noinline)) void wait_for_ever(const rt::chan<int>& never) { never.recv(); }

TEST(bubble, a_deadlock_is_reported_with_all_stacks) {
  try {
    rt::test::bubble([] {
      rt::chan<int> never;
      rt::mutex mutex;
      mutex.lock();
      // They wait for what is on the stack of main, which therefore ends last.
      for (int i = 0; i < 10; ++i) {
        rt::go({.stack_size = 0, .name = "locker"}, [&] { std::lock_guard guard(mutex); });
      }
      rt::go({.stack_size = 0, .name = "sleeper"}, [] { rt::sleep_for(1h); });  // only delays it
      wait_for_ever(never);
    });
    FAIL() << "nothing was reported";
  } catch (const rt::test::deadlock& error) {
    std::string text = error.what();
    EXPECT_THAT(text, HasSubstr("all green threads wait"));
    EXPECT_THAT(text, HasSubstr("[chan receive, 60 minutes]"));
    EXPECT_THAT(text, HasSubstr("name: main"));
    EXPECT_THAT(text, HasSubstr("name: locker"));
    EXPECT_THAT(text, testing::Not(HasSubstr("name: sleeper"))) << "it has ended";
    EXPECT_THAT(text, HasSubstr("bubble_test:0")) << "frames";
  }
  rt::test::bubble([] { rt::sleep_for(1s); });  // the next one finds everything in order
}

// A ticker keeps time going, but it wakes nobody.
TEST(bubble, a_deadlock_beside_a_ticker_is_reported) {
  rt::time_point last;
  auto locked = [&] {
    rt::chan<int> never;
    rt::ticker fast(1s);
    rt::ticker slow(1h);
    rt::chan<rt::time_point> ticks = slow.channel();
    rt::timer later(48h);
    rt::go([&] {
      while (ticks.recv_for(10h)) last = rt::now();  // ends with the ticker
      rt::sleep_for(1h);
      last = rt::now();
    });
    rt::go([&] {
      rt::sleep_for(3h + 1ms);
      slow.stop();
    });
    never.recv();
  };
  EXPECT_THROW(rt::test::bubble(locked), rt::test::deadlock);
  EXPECT_EQ(last, rt::test::start + 14h) << "not before all that can happen has happened";
}

TEST(bubble, timers_that_are_kept_do_not_keep_it) {
  rt::ticker kept;
  rt::test::bubble([&] { kept = rt::ticker(1ms); });
  kept.stop();
}

TEST(bubble, exceptions_of_the_function_are_rethrown_after_the_rest_has_ended) {
  bool unwound = false;
  auto failing = [&] {
    rt::go([&] {
      struct guard {
        bool& set;
        ~guard() { set = true; }
      } on_end{unwound};
      rt::sleep_for(1h);
    });
    rt::sleep_for(1ms);
    throw std::runtime_error("not today");
  };
  EXPECT_THROW(rt::test::bubble(failing), std::runtime_error);
  EXPECT_TRUE(unwound);
}

TEST(bubble, the_rest_is_cancelled_before_time_moves_and_may_still_wait) {
  rt::time_point ended;
  bool slept_on = false;
  rt::test::bubble([&] {
    rt::go([&] {
      try {
        rt::sleep_for(1h);
        slept_on = true;
      } catch (const rt::cancelled&) {
        rt::cancellation_shield shield;
        rt::sleep_for(5s);  // the end of some protocol
        ended = rt::now();
        throw;
      }
    });
    rt::sleep_for(1s);
  });
  EXPECT_FALSE(slept_on);
  EXPECT_EQ(ended, rt::test::start + 6s);
}

TEST(bubble, time_waits_for_rt_blocking_and_for_raw_blocking_calls) {
  rt::test::bubble([] {
    rt::time_point before;
    rt::time_point after;
    rt::wait_group group;
    group.go([&] {
      before = rt::now();
      rt::blocking([] { std::this_thread::sleep_for(20ms); });
      after = rt::now();
    });
    group.go([] { rt::sleep_for(1h); });
    group.go([] {
      rt::sleep_for(1s);
      std::this_thread::sleep_for(20ms);
      EXPECT_EQ(rt::now(), rt::test::start + 1s);
    });
    group.wait();
    EXPECT_EQ(before, after);
    EXPECT_EQ(rt::now(), rt::test::start + 1h);
  });
}

TEST(bubble, a_wake_up_out_of_rt_blocking_is_no_deadlock) {
  for (int i = 0; i < 300; ++i) {
    rt::test::bubble([i] {
      rt::chan<int> done;
      for (int g = 0; g < 3; ++g) {
        rt::go([=] {
          rt::blocking([=] { std::this_thread::sleep_for(std::chrono::microseconds((i + g * 7) % 30)); });
          done.send(g);
        });
      }
      for (int g = 0; g < 3; ++g) done.recv();
    });
  }
}

// Connects and writes by the system's own calls, from outside of the bubble.
void send_hello(const std::string& address) {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1))));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ASSERT_GE(fd, 0);
  EXPECT_EQ(connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to), 0);
  EXPECT_EQ(send(fd, "hello", 5, 0), 5);
  close(fd);
}

TEST(bubble, time_waits_for_the_network) {
  rt::test::bubble([] {
    rt::net::listener listener = rt::net::listen("tcp", "127.0.0.1:0");
    rt::wait_group group;
    group.go([&] {
      rt::net::conn served = listener.accept();
      char text[5];
      EXPECT_EQ(served.read(text, 5), 5U);
      EXPECT_EQ(rt::now(), rt::test::start);
    });
    group.go([] { rt::sleep_for(1h); });
    std::thread client([address = listener.address()] {
      std::this_thread::sleep_for(20ms);  // all wait by now, one of them for the network
      send_hello(address);
    });
    group.wait();
    EXPECT_EQ(rt::now(), rt::test::start + 1h);
    rt::blocking([&] { client.join(); });
  });
}

TEST(bubble, the_number_of_processors_is_one) {
  rt::test::bubble([] {
    EXPECT_EQ(rt::max_procs(), 1);
    EXPECT_THROW(rt::max_procs(2), std::logic_error);
  });
}

TEST(explore, finds_the_seed_of_a_race_and_names_it) {
  // Two green threads that read, wait and write: whether an addition is lost depends on the order.
  auto lossy = [](std::uint64_t) {
    rt::chan<int> tick(4);
    int value = 0;
    rt::wait_group group;
    for (int g = 0; g < 2; ++g) {
      group.go([&, g] {
        int seen = value;
        tick.send(g);  // makes way now and then
        value = seen + 1;
      });
    }
    group.wait();
    if (value != 2) throw std::runtime_error("an addition was lost");
  };
  std::uint64_t found = 0;
  try {
    rt::test::explore(200, lossy);
  } catch (const rt::test::failed_seed& error) {
    found = error.seed();
    EXPECT_THAT(error.what(), HasSubstr("seed " + std::to_string(found) + ": an addition was lost"));
    EXPECT_THROW(std::rethrow_if_nested(error), std::runtime_error);
  }
  ASSERT_NE(found, 0U);
  for (int again = 0; again < 3; ++again) {
    EXPECT_THROW(rt::test::bubble({.seed = found}, [&] { lossy(found); }), std::runtime_error);
  }
  std::vector<std::uint64_t> seeds;
  rt::test::explore(
      3, [&](std::uint64_t seed) { seeds.push_back(seed); }, 7);
  EXPECT_THAT(seeds, testing::ElementsAre(7, 8, 9));
}

}  // namespace
