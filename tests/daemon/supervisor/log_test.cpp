#include "daemon/supervisor/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "daemon/supervisor/event_log.h"

namespace rtd::supervisor {
namespace {

using testing::HasSubstr;
using testing::Not;

log_record task_line(std::string sandbox, std::string task, log_level level, std::string message) {
  log_record record;
  record.level = level;
  record.source = log_source::task;
  record.sandbox = std::move(sandbox);
  record.task = std::move(task);
  record.plugin = "p";
  record.message = std::move(message);
  return record;
}

TEST(log, keeps_the_last_lines_that_are_wanted) {
  log lines(make_null_writer());
  for (int i = 0; i < 100; ++i)
    lines.write(
        task_line(i % 2 == 0 ? "even" : "odd", "t" + std::to_string(i % 4), log_level::info, std::to_string(i)));
  log_filter filter;
  filter.sandbox = "odd";
  filter.task = "t3";
  const auto found = lines.last(filter, 3);
  ASSERT_EQ(found.size(), 3u);
  EXPECT_EQ(found[0].message, "91");
  EXPECT_EQ(found[2].message, "99");
  EXPECT_LT(found[0].sequence, found[2].sequence);
}

TEST(log, forgets_what_is_below_the_level) {
  log lines(make_null_writer());
  lines.set_level(log_level::warn);
  lines.info("no");
  lines.error("yes");
  EXPECT_EQ(lines.last({}, 10).size(), 1u);
  EXPECT_EQ(lines.counts().size(), 1u);
  log_filter errors;
  errors.least = log_level::error;
  lines.warn("a warning");
  EXPECT_EQ(lines.last(errors, 10).size(), 1u);
}

TEST(log, the_ring_is_bounded_by_lines_and_by_bytes) {
  log lines(make_null_writer());
  for (std::size_t i = 0; i < log::ring_lines + 10; ++i) lines.info("x");
  EXPECT_EQ(lines.last({}, 1'000'000).size(), log::ring_lines);
  for (int i = 0; i < 2000; ++i) lines.info(std::string(8000, 'y'));
  std::size_t bytes = 0;
  for (const auto& record : lines.last({}, 1'000'000)) bytes += record.message.size();
  EXPECT_LE(bytes, log::ring_bytes);
}

TEST(log, followers_hear_until_they_leave) {
  log lines(make_null_writer());
  std::vector<std::string> heard;
  log_filter filter;
  filter.sandbox = "a";
  auto token = lines.follow(filter, [&](const log_record& record) { heard.push_back(record.message); });
  lines.write(task_line("a", "t", log_level::info, "one"));
  lines.write(task_line("b", "t", log_level::info, "two"));
  token.reset();
  lines.write(task_line("a", "t", log_level::info, "three"));
  EXPECT_EQ(heard, std::vector<std::string>{"one"});
}

TEST(log, a_token_may_outlive_the_log) {
  std::shared_ptr<void> token;
  {
    log lines(make_null_writer());
    token = lines.follow({}, [](const log_record&) {});
  }
  token.reset();
}

TEST(log, cleans_its_own_lines) {
  log lines(make_null_writer());
  lines.info("a\x1b[2Jb\nc");
  EXPECT_EQ(lines.last({}, 1).front().message, "a\\x1b[2Jb\\nc");
}

TEST(log_formats, text_json_and_journal) {
  log_record record = task_line("default", "greeter", log_level::warn, "hot \"quoted\"");
  record.time = std::chrono::system_clock::time_point(std::chrono::milliseconds(1'700'000'000'250));
  EXPECT_EQ(format_text(record), "2023-11-14T22:13:20.250Z warn  [default/greeter] hot \"quoted\"");
  const auto object = nlohmann::json::parse(format_json(record));
  EXPECT_EQ(object["level"], "warn");
  EXPECT_EQ(object["task"], "greeter");
  EXPECT_EQ(object["message"], "hot \"quoted\"");
  const std::string block = format_journal(record);
  EXPECT_THAT(block, HasSubstr("MESSAGE=hot"));
  EXPECT_THAT(block, HasSubstr("\nPRIORITY=4\n"));
  EXPECT_THAT(block, HasSubstr("\nRTD_TASK=greeter"));
  record.source = log_source::standard_error;
  record.task.clear();
  EXPECT_THAT(format_text(record), HasSubstr("[default stderr] "));
  EXPECT_THAT(format_journal(record), Not(HasSubstr("RTD_TASK")));
}

TEST(events, ring_since_and_followers) {
  log lines(make_null_writer());
  event_log events(lines);
  std::vector<std::uint64_t> heard;
  auto token = events.follow([&](const event& one) { heard.push_back(one.sequence); });
  for (int i = 0; i < 1500; ++i) events.add(log_level::info, "task_started", "s", "t", "m", {{"n", i}});
  EXPECT_EQ(heard.size(), 1500u);
  EXPECT_EQ(events.last(10'000).size(), event_log::ring_events);
  const auto late = events.last(100, 1498);
  ASSERT_EQ(late.size(), 2u);
  EXPECT_EQ(late.back().to_json()["n"], 1499);
  EXPECT_EQ(late.back().to_json()["kind"], "task_started");
  EXPECT_EQ(lines.last({}, 1).front().message, "m") << "events are lines of the log, too";
}

}  // namespace
}  // namespace rtd::supervisor
