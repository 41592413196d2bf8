// Limits of a task as the host sets and reads them; the rate of log lines.
#include "runtime/task/task_limits.h"

#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "rt/rt.h"
#include "runtime/task/line_rate.h"
#include "tests/runtime/in_runtime.h"
#include "tests/runtime/task/observed_task.h"

namespace {

using rt::detail::limit_kind;
using rt::detail::line_rate;
using rt::detail::met_limit;
using rt::detail::task_limits;
using rt_test::observed_task;
using namespace std::chrono_literals;

constexpr std::int64_t second = 1'000'000'000;

int admitted(line_rate& rate, int lines, std::int64_t now) {
  int count = 0;
  for (int i = 0; i < lines; ++i) count += rate.admit(now) ? 1 : 0;
  return count;
}

TEST(log_rate, without_a_limit_every_line_is_admitted) {
  line_rate rate;
  EXPECT_EQ(admitted(rate, 10'000, 5 * second), 10'000);
}

TEST(log_rate, a_burst_and_then_so_many_a_second) {
  line_rate rate;
  rate.set(10, 25);
  EXPECT_EQ(admitted(rate, 100, 5 * second), 25);
  EXPECT_EQ(admitted(rate, 100, 5 * second + second / 100), 0);
  EXPECT_EQ(admitted(rate, 100, 6 * second), 10);
  EXPECT_EQ(admitted(rate, 100, 7 * second), 10);
  EXPECT_EQ(admitted(rate, 100, 60 * second), 25) << "a long rest fills the bucket, and no more";
}

TEST(log_rate, changes_at_any_time) {
  line_rate rate;
  rate.set(1, 1);
  EXPECT_EQ(admitted(rate, 5, second), 1);
  rate.set(0, 1);
  EXPECT_EQ(admitted(rate, 5, second), 5);
  rate.set(1'000'000, 100);
  EXPECT_EQ(admitted(rate, 1000, 3 * second), 100);
}

TEST(log_rate, holds_for_many_writers_at_once) {
  line_rate rate;
  rate.set(1, 500);
  std::atomic<int> count{0};
  std::vector<std::thread> writers;
  for (int i = 0; i < 4; ++i) {
    writers.emplace_back([&] { count.fetch_add(admitted(rate, 1000, second)); });
  }
  for (std::thread& one : writers) one.join();
  EXPECT_EQ(count.load(), 500);
}

RT_ON_PROCS(limits_of_tasks);

TEST_P(limits_of_tasks, a_flood_of_lines_is_cut_and_its_size_is_told) {
  run([] {
    task_limits limits;
    limits.log_rate = 1;
    limits.log_burst = 5;
    observed_task task(
        [](rt::task& self) {
          for (int i = 0; i < 100; ++i) self.info("line");
        },
        0, limits);
    task.state->start();
    task.wait_for_end();
    const std::uint64_t dropped = task.state->limit_figures().log_lines_dropped;
    const std::vector<std::string> lines = task.lines();
    EXPECT_EQ(lines.size() + dropped, 100U);
    EXPECT_GE(lines.size(), 5U);
    EXPECT_GE(dropped, 1U);
    EXPECT_EQ(task.limit_calls.load(), 1);
    const std::vector<met_limit> met = task.state->take_met_limits();
    ASSERT_EQ(met.size(), 1U);
    EXPECT_EQ(met[0].kind, limit_kind::log_rate);
    EXPECT_NE(met[0].text.find("limits.log_rate, 1 lines a second"), std::string::npos) << met[0].text;
    EXPECT_EQ(task.state->report_drops(false), INT64_MAX);
    EXPECT_EQ(task.lines(), std::vector<std::string>{std::to_string(dropped) +
                                                     " lines were dropped: limits.log_rate is 1 lines a second, and 5 "
                                                     "at once"});
    EXPECT_EQ(task.state->report_drops(true), INT64_MAX);
    EXPECT_TRUE(task.lines().empty()) << "told once";
  });
}

TEST_P(limits_of_tasks, drops_are_told_once_a_second) {
  run([] {
    task_limits limits;
    limits.log_rate = 1;
    limits.log_burst = 1;
    observed_task task(
        [](rt::task& self) {
          rt::chan<int> never;
          self.info("one");
          self.info("two");
          self.set_status("first");
          while (!self.draining()) rt::sleep_for(100us);
          self.info("three");
          self.info("four");
          self.set_status("second");
          rt::sleep_for(1h);
        },
        0, limits);
    task.state->start();
    EXPECT_TRUE(rt_test::eventually([&] { return task.state->status() == "first"; }));
    EXPECT_EQ(task.state->report_drops(false), INT64_MAX);
    const std::int64_t before = rt::now().time_since_epoch().count();
    task.state->drain();
    EXPECT_TRUE(rt_test::eventually([&] { return task.state->status() == "second"; }));
    const std::int64_t due = task.state->report_drops(false);
    // On a machine that stood still for a second it has been told already.
    if (due != INT64_MAX) {
      EXPECT_LE(due, before + second);
    }
    task.lines();
    task.state->report_drops(true);
    EXPECT_EQ(task.lines().size(), due == INT64_MAX ? 0U : 1U);
    task.state->stop();
    task.wait_for_end();
  });
}

TEST_P(limits_of_tasks, what_the_runtime_says_is_not_cut) {
  run([] {
    task_limits limits;
    limits.log_rate = 1;
    limits.log_burst = 1;
    observed_task task(
        [](rt::task& self) {
          self.info("line");
          self.info("line");
          for (int i = 0; i < 2; ++i) rt::go([] { throw std::runtime_error("failed"); });
          rt::sleep_for(1h);
        },
        0, limits);
    task.state->start();
    task.wait_for_end();
    task.reported();
    bool told = false;
    for (const std::string& line : task.lines()) told = told || line.find("another green thread") != std::string::npos;
    EXPECT_TRUE(told);
  });
}

TEST_P(limits_of_tasks, too_many_green_threads_fail_a_task_that_does_not_mind_them) {
  run([] {
    task_limits limits;
    limits.green_threads = 10;
    observed_task task(
        [](rt::task&) {
          for (;;) rt::go([] { rt::sleep_for(1h); });
        },
        0, limits);
    task.state->start();
    EXPECT_EQ(task.wait_for_end(), rt::detail::task_phase::failed);
    EXPECT_NE(task.error().find("limits.green_threads"), std::string::npos) << task.error();
    const std::vector<met_limit> met = task.state->take_met_limits();
    ASSERT_EQ(met.size(), 1U);
    EXPECT_NE(met[0].text.find("limits.green_threads, 10"), std::string::npos) << met[0].text;
    EXPECT_EQ(task.state->limit_figures().green_threads_refused, 1U);
  });
}

TEST_P(limits_of_tasks, are_told_once_until_they_are_not_met_for_ten_seconds) {
  run([] {
    task_limits limits;
    limits.green_threads = 2;
    observed_task task(
        [](rt::task& self) {
          for (int i = 0; i < 20; ++i) {
            rt::chan<int> gate;
            rt::go([gate] { rt::chan<int>(gate).recv(); });
            EXPECT_THROW(rt::go([] {}), rt::out_of_green_threads);
            gate.close();
            EXPECT_TRUE(rt_test::eventually([] { return rt::num_green_threads() <= 2; }));
          }
          self.set_status("done");
        },
        0, limits);
    const rt::time_point begin = rt::now();
    task.state->start();
    std::size_t told = 0;
    while (!is_final(task.state->phase())) {
      told += task.state->take_met_limits().size();
      rt::sleep_for(1ms);
    }
    told += task.state->take_met_limits().size();
    EXPECT_GE(told, 1U);
    if (rt::now() - begin < 10s) {
      EXPECT_EQ(told, 1U);
    }
  });
}

TEST_P(limits_of_tasks, change_while_it_runs) {
  run([] {
    observed_task task([](rt::task&) { rt::sleep_for(1h); });
    task.state->start();
    EXPECT_EQ(task.state->limit_figures().green_threads_limit, rt::detail::no_limit);
    task_limits limits;
    limits.green_threads = 3;
    limits.connections = 4;
    limits.log_rate = 5;
    task.state->set_limits(limits);
    const rt::detail::task_limit_figures now = task.state->limit_figures();
    EXPECT_EQ(now.green_threads_limit, 3U);
    EXPECT_EQ(now.connections_limit, 4U);
    EXPECT_EQ(now.log_rate, 5U);
    task.state->stop();
    task.wait_for_end();
  });
}

}  // namespace
