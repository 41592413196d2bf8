// The reporting thread: takes log lines and task notes, sends them to the supervisor.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "daemon/host/link.h"
#include "daemon/host/task_table.h"
#include "runtime/task/log_queue.h"

namespace rtd::host {

class log_drain {
 public:
  log_drain(link_writer& link, std::shared_ptr<rt::detail::log_queue> log, task_table& tasks)
      : link_(link), log_(std::move(log)), tasks_(tasks) {}
  log_drain(const log_drain&) = delete;
  log_drain& operator=(const log_drain&) = delete;

  /// Sends what comes until stop() has been called and everything has been sent. False when the link is closed.
  bool run();
  /// Any thread.
  void stop() noexcept;

 private:
  bool send_all();
  bool add(const nlohmann::json& event, std::string& frames);

  link_writer& link_;
  std::shared_ptr<rt::detail::log_queue> log_;
  task_table& tasks_;
  std::atomic<bool> stopping_{false};
  std::optional<task_table::clock::time_point> look_again_;  // at the tasks' limits
  std::uint64_t dropped_reported_ = 0;
  std::uint64_t violations_lost_ = 0;
};

/// A log line as it goes over the link.
nlohmann::json to_json(const rt::detail::log_line& line);
/// "debug", "info", "warn", "error", and back; false for another text.
const char* to_text(rt::log_level level) noexcept;
bool parse_level(std::string_view text, rt::log_level& level) noexcept;

}  // namespace rtd::host
