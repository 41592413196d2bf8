// The poller alone, and the counts that the scheduler asks it for (behaviours 108 and 109).
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>
#include <vector>

#include "runtime/net/descriptor_table.h"
#include "runtime/net/epoll_poller.h"
#include "tests/runtime/net/net_fixture.h"

namespace rt::net::testing {
namespace {

using detail::descriptor_table;
using detail::epoll_poller;
using detail::poll_descriptor;

class poller_with : public ::testing::TestWithParam<bool> {};  // exact timeouts or not

duration time_of_wait(epoll_poller& poller, std::int64_t timeout) {
  rt::detail::ready_list ready;
  time_point start = now();
  poller.wait(timeout, ready);
  return now() - start;
}

TEST_P(poller_with, wake_ends_a_long_wait_108) {
  epoll_poller poller(GetParam());
  const time_point start = now();  // before the waker's sleep begins
  std::thread waker([&] {
    std::this_thread::sleep_for(20ms);
    poller.wake();
  });
  EXPECT_LT(time_of_wait(poller, 10'000'000'000), 5s);
  EXPECT_GE(now() - start, 20ms);
  waker.join();
}

TEST_P(poller_with, wake_before_the_wait_ends_it_and_only_it_108) {
  epoll_poller poller(GetParam());
  for (int i = 0; i < 5; ++i) poller.wake();
  EXPECT_LT(time_of_wait(poller, 10'000'000'000), 5s);
  EXPECT_GE(time_of_wait(poller, 20'000'000), 15ms);
  poller.wake();
  EXPECT_LT(time_of_wait(poller, -1), 5s);
}

TEST_P(poller_with, a_look_does_not_take_the_wake_of_a_sleeper) {
  epoll_poller poller(GetParam());
  poller.wake();
  for (int i = 0; i < 3; ++i) EXPECT_LT(time_of_wait(poller, 0), tolerance);
  EXPECT_LT(time_of_wait(poller, 10'000'000'000), 5s);
}

TEST_P(poller_with, timeouts_are_not_early) {
  epoll_poller poller(GetParam());
  for (std::int64_t timeout : {1LL, 300'000LL, 1'000'000LL, 1'500'000LL, 20'000'000LL}) {
    EXPECT_GE(time_of_wait(poller, timeout), duration(timeout));
  }
#if !defined( \
    __aarch64__)  // those tests run under an emulator without epoll_pwait2, where milliseconds are all there is
  if (GetParam()) {
    duration least = 1h;
    for (int i = 0; i < 200 && least >= 1ms; ++i) least = std::min(least, time_of_wait(poller, 100'000));
    EXPECT_LT(least, 1ms);
  }
#endif
}

TEST_P(poller_with, wakes_from_many_threads_are_never_lost_108) {
  epoll_poller poller(GetParam());
  std::atomic<int> published{0};
  std::atomic<bool> failed{false};
  constexpr int total = 4000;
  std::vector<std::thread> wakers;
  for (int i = 0; i < 4; ++i) {
    wakers.emplace_back([&] {
      for (int n = 0; n < total / 4; ++n) {
        published.fetch_add(1, std::memory_order_relaxed);
        poller.wake();
      }
    });
  }
  // Whoever publishes and wakes is seen by a wait that returns after it: this ends, or hangs for 10 s.
  while (published.load(std::memory_order_relaxed) < total) {
    if (time_of_wait(poller, 10'000'000'000) > 9s) failed = true;
  }
  for (std::thread& each : wakers) each.join();
  EXPECT_FALSE(failed.load());
}

INSTANTIATE_TEST_SUITE_P(exact, poller_with, ::testing::Bool(),
                         [](const auto& one) { return one.param ? "timeouts" : "milliseconds"; });

TEST(descriptor_table, reuse_changes_the_tag_and_late_events_find_nobody) {
  descriptor_table table;
  poll_descriptor& first = table.acquire();
  std::uint64_t tag = first.tag();
  EXPECT_EQ(table.find(tag), &first);
  EXPECT_EQ(table.in_use(), 1u);
  table.release(first);
  EXPECT_EQ(table.find(tag), nullptr);
  poll_descriptor& second = table.acquire();
  EXPECT_EQ(&second, &first);
  EXPECT_NE(second.tag(), tag);
  EXPECT_EQ(table.find(tag), nullptr);
  EXPECT_EQ(table.find(second.tag()), &second);
  EXPECT_EQ(table.find(UINT64_MAX), nullptr);
  table.release(second);
  EXPECT_EQ(table.in_use(), 0u);
}

TEST(descriptor_table, every_descriptor_is_found_by_its_tag) {
  descriptor_table table;
  std::vector<poll_descriptor*> all;
  for (int i = 0; i < 5000; ++i) all.push_back(&table.acquire());
  for (poll_descriptor* each : all) ASSERT_EQ(table.find(each->tag()), each);
  std::sort(all.begin(), all.end());
  EXPECT_EQ(std::adjacent_find(all.begin(), all.end()), all.end());
  for (poll_descriptor* each : all) table.release(*each);
}

TEST(descriptor_table, used_by_several_threads) {
  descriptor_table table;
  std::vector<std::thread> users;
  for (int i = 0; i < 4; ++i) {
    users.emplace_back([&] {
      std::vector<poll_descriptor*> mine;
      for (int round = 0; round < 20'000; ++round) {
        if (mine.size() < 200 && round % 3 != 0) {
          mine.push_back(&table.acquire());
        } else if (!mine.empty()) {
          table.release(*mine.back());
          mine.pop_back();
        }
      }
      for (poll_descriptor* each : mine) table.release(*each);
    });
  }
  for (std::thread& each : users) each.join();
  EXPECT_EQ(table.in_use(), 0u);
}

class waiters_on : public on_procs {};

TEST_P(waiters_on, counts_never_drift_109) {
  run([] {
    std::atomic<bool> stop{false};
    std::atomic<bool> wrong{false};
    wait_group watcher;
    watcher.go([&] {
      while (!stop.load()) {
        runtime_stats stats = read_stats();
        if (stats.net_waiting_readers > 64 || stats.net_waiting_writers > 64) wrong = true;
        yield();
      }
    });
    wait_group done;
    for (int i = 0; i < 16; ++i) {
      done.go([i] {
        for (int round = 0; round < 30; ++round) {
          pair both = connected_pair();
          wait_group ended;
          ended.go([&] {
            char byte;
            std::error_code error;
            both.client.read(&byte, 1, error);
          });
          if ((round + i) % 4 == 0) both.client.close();
          if ((round + i) % 4 == 1) both.client.set_deadline(now() + 50us);
          if ((round + i) % 4 == 2) both.server.write("x");
          if ((round + i) % 4 == 3) both.server.close();
          ended.wait();
        }
      });
    }
    done.wait();
    stop = true;
    watcher.wait();
    EXPECT_FALSE(wrong.load());
    EXPECT_TRUE(waiting(0, 0));
  });
}

TEST_P(waiters_on, statistics_count_descriptors_polls_and_events) {
  run([] {
    runtime_stats before = read_stats();
    {
      pair both = connected_pair();
      go(echo, both.server);
      EXPECT_EQ(read_stats().net_descriptors, before.net_descriptors + 2);
      EXPECT_TRUE(waiting(1, 0));
      both.client.write("x");
      char byte;
      both.client.read_exactly(&byte, 1);
    }
    EXPECT_TRUE(eventually([&] { return read_stats().net_descriptors == before.net_descriptors; }));
    runtime_stats after = read_stats();
    EXPECT_GT(after.net_polls_total, before.net_polls_total);
    EXPECT_GT(after.net_events_total, before.net_events_total);
  });
}

TEST_P(waiters_on, waiting_for_nothing_makes_no_polls) {
  run([] {
    pair both = connected_pair();
    go(echo, both.server);
    EXPECT_TRUE(waiting(1, 0));
    std::uint64_t before = read_stats().net_polls_total;
    sleep_for(200ms);
    EXPECT_LT(read_stats().net_polls_total - before, 10u);
    both.client.close();
  });
}

RT_NET_TEST_ON_PROCS(waiters_on);

}  // namespace
}  // namespace rt::net::testing
