#include "runtime/task/log_queue.h"

#include <gtest/gtest.h>

#include <map>
#include <thread>

namespace {

using rt::detail::log_line;
using rt::detail::log_queue;

log_line line(std::string text) { return {nullptr, rt::log_level::info, {}, std::move(text)}; }

TEST(log_queue, keeps_the_order) {
  log_queue queue(4);
  std::vector<log_line> taken;
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(queue.push(line(std::to_string(round * 3 + i))));
    queue.take(taken);
  }
  ASSERT_EQ(taken.size(), 9u);
  for (std::size_t i = 0; i < taken.size(); ++i) EXPECT_EQ(taken[i].message, std::to_string(i));
}

TEST(log_queue, drops_and_counts_when_it_is_full) {
  log_queue queue(2);
  EXPECT_TRUE(queue.push(line("a")));
  EXPECT_TRUE(queue.push(line("b")));
  EXPECT_FALSE(queue.push(line("c")));
  EXPECT_EQ(queue.dropped(), 1u);
  std::vector<log_line> taken;
  queue.take(taken);
  EXPECT_EQ(taken.size(), 2u);
  EXPECT_TRUE(queue.push(line("d")));
  EXPECT_EQ(queue.dropped(), 1u);
}

TEST(log_queue, has_a_limit_of_bytes) {
  log_queue queue(100, 10);
  EXPECT_TRUE(queue.push(line("12345678")));
  EXPECT_FALSE(queue.push(line("123")));
  EXPECT_TRUE(queue.push(line("12")));
  std::vector<log_line> taken;
  queue.take(taken);
  EXPECT_TRUE(queue.push(line("1234567890")));
}

TEST(log_queue, takes_only_what_is_wanted) {
  log_queue queue;
  EXPECT_FALSE(queue.wants(rt::log_level::debug));
  EXPECT_TRUE(queue.wants(rt::log_level::info));
  queue.set_level(rt::log_level::error);
  EXPECT_FALSE(queue.wants(rt::log_level::warn));
  queue.set_level(rt::log_level::debug);
  EXPECT_TRUE(queue.wants(rt::log_level::debug));
}

TEST(log_queue, a_wait_ends_by_a_line_by_a_wake_or_by_time) {
  log_queue queue;
  using clock = std::chrono::steady_clock;
  auto began = clock::now();
  queue.wait(std::chrono::milliseconds(20));
  EXPECT_GE(clock::now() - began, std::chrono::milliseconds(15));
  queue.wake();
  began = clock::now();
  queue.wait(std::chrono::seconds(60));
  queue.push(line("x"));
  queue.wait(std::chrono::seconds(60));
  std::thread later([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    queue.wake();
  });
  queue.wait(std::chrono::seconds(60));
  later.join();
  EXPECT_LT(clock::now() - began, std::chrono::seconds(30));
}

TEST(log_queue, many_writers_lose_nothing_that_is_not_counted) {
  log_queue queue(64);
  constexpr int writers = 4;
  constexpr int lines = 20'000;
  std::atomic<int> running{writers};
  std::vector<std::thread> threads;
  for (int w = 0; w < writers; ++w) {
    threads.emplace_back([&, w] {
      auto identity = std::make_shared<const rt::detail::task_identity>(
          rt::detail::task_identity{std::to_string(w), "plugin", "entry"});
      for (int i = 0; i < lines; ++i) queue.push({identity, rt::log_level::info, {}, std::to_string(i)});
      running.fetch_sub(1);
      queue.wake();
    });
  }
  std::map<std::string, int> last;
  std::uint64_t received = 0;
  std::vector<log_line> taken;
  auto look = [&] {
    taken.clear();
    queue.take(taken);
    for (const log_line& one : taken) {
      int number = std::stoi(one.message) + 1;
      EXPECT_GT(number, last[one.task->id]);
      last[one.task->id] = number;
      ++received;
    }
  };
  while (running.load() != 0) {
    queue.wait(std::chrono::seconds(60));
    look();
  }
  for (std::thread& thread : threads) thread.join();
  look();
  EXPECT_EQ(received + queue.dropped(), static_cast<std::uint64_t>(writers) * lines);
}

}  // namespace
