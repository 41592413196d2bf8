// What happened to the daemon, its sandboxes and its tasks: a ring of events for `events` and its followers. Every
// event is a line of the log as well.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/supervisor/log.h"

namespace rtd::supervisor {

struct event {
  std::uint64_t sequence = 0;
  std::chrono::system_clock::time_point time{};
  std::string kind;     // "sandbox_exited"
  std::string sandbox;  // may be empty, as may task
  std::string task;
  std::string message;
  nlohmann::json details = nlohmann::json::object();  // further members of the event

  nlohmann::json to_json() const;
};

class event_log {
 public:
  static constexpr std::size_t ring_events = 1000;

  explicit event_log(log& lines) : log_(lines) {}

  /// Records an event and logs its message. Messages may hold anything; they are cleaned.
  void add(log_level level, std::string_view kind, std::string sandbox, std::string task, std::string_view message,
           nlohmann::json details = nlohmann::json::object());

  /// The last `limit` events with a sequence number above `since`, oldest first.
  std::vector<event> last(std::size_t limit, std::uint64_t since = 0) const;

  /// Calls `action` for each later event, until the result is destroyed (not from inside the
  /// call).
  std::shared_ptr<void> follow(std::function<void(const event&)> action);

 private:
  using followers = std::list<std::function<void(const event&)>>;

  log& log_;
  std::deque<event> ring_;
  std::uint64_t next_sequence_ = 1;
  std::shared_ptr<followers> followers_ = std::make_shared<followers>();
};

}  // namespace rtd::supervisor
