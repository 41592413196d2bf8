// The log: every line of the supervisor and of its hosts passes here, is filtered by level, written out, kept in a ring
// for `logs`, and handed to those who follow.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "daemon/supervisor/log_record.h"
#include "daemon/supervisor/log_writer.h"

namespace rtd::supervisor {

/// Which lines are wanted. Empty members want all.
struct log_filter {
  std::string sandbox;
  std::string task;
  log_level least = log_level::debug;
  std::chrono::system_clock::time_point since{};

  bool wants(const log_record& record) const;
};

class log {
 public:
  /// How many lines, and bytes of messages, are kept for `logs`.
  static constexpr std::size_t ring_lines = 10'000;
  static constexpr std::size_t ring_bytes = 8U << 20U;

  explicit log(std::unique_ptr<log_writer> to);
  ~log();
  log(const log&) = delete;
  log& operator=(const log&) = delete;

  /// Lines below this level are forgotten (and not counted).
  void set_level(log_level least) { least_ = least; }
  log_level level() const { return least_; }
  void replace_writer(std::unique_ptr<log_writer> to);

  /// A line of the supervisor's own. The text may hold anything: it is cleaned.
  void debug(std::string_view message) { write(log_level::debug, message); }
  void info(std::string_view message) { write(log_level::info, message); }
  void warn(std::string_view message) { write(log_level::warn, message); }
  void error(std::string_view message) { write(log_level::error, message); }
  void write(log_level level, std::string_view message, std::string sandbox = {}, std::string task = {});

  /// A line of a host, cleaned already. The time is set when it has none.
  void write(log_record record);

  /// Counts lines of `source` that were dropped before they came here.
  void count_dropped(std::string_view source, std::uint64_t lines);

  /// The last `limit` lines that the filter wants, oldest first.
  std::vector<log_record> last(const log_filter& filter, std::size_t limit) const;

  using follower = std::function<void(const log_record&)>;
  /// Calls `action` for each later line that the filter wants, until the result is destroyed (not from inside the
  /// call).
  std::shared_ptr<void> follow(log_filter filter, follower action);

  /// By (level, source), and by source.
  const std::map<std::pair<std::string, std::string>, std::uint64_t>& counts() const { return counts_; }
  std::map<std::string, std::uint64_t> dropped() const;

 private:
  struct subscription {
    log_filter filter;
    follower action;
  };
  // Held by shared_ptr so that a token outlives the log harmlessly.
  using subscriptions = std::list<subscription>;

  std::unique_ptr<log_writer> writer_;
  std::uint64_t lost_by_former_writers_ = 0;
  log_level least_ = log_level::info;
  std::deque<log_record> ring_;
  std::size_t ring_used_ = 0;
  std::uint64_t next_sequence_ = 1;
  std::shared_ptr<subscriptions> followers_ = std::make_shared<subscriptions>();
  std::map<std::pair<std::string, std::string>, std::uint64_t> counts_;
  std::map<std::string, std::uint64_t> dropped_;
};

}  // namespace rtd::supervisor
