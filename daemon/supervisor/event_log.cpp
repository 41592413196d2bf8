#include "daemon/supervisor/event_log.h"

#include <algorithm>

#include "daemon/protocol/text.h"

namespace rtd::supervisor {

nlohmann::json event::to_json() const {
  nlohmann::json result = details;
  result["seq"] = sequence;
  result["time"] = protocol::rfc3339(time);
  result["kind"] = kind;
  result["sandbox"] = sandbox;
  result["task"] = task;
  result["message"] = message;
  return result;
}

void event_log::add(log_level level, std::string_view kind, std::string sandbox, std::string task,
                    std::string_view message, nlohmann::json details) {
  event one;
  one.sequence = next_sequence_++;
  one.time = std::chrono::system_clock::now();
  one.kind = kind;
  one.sandbox = std::move(sandbox);
  one.task = std::move(task);
  one.message = protocol::clean_text(message);
  one.details = std::move(details);
  log_.write(level, one.message, one.sandbox, one.task);
  ring_.push_back(one);
  if (ring_.size() > ring_events) ring_.pop_front();
  for (const auto& tell : *followers_) tell(one);
}

std::vector<event> event_log::last(std::size_t limit, std::uint64_t since) const {
  std::vector<event> result;
  for (auto one = ring_.rbegin(); one != ring_.rend() && result.size() < limit && one->sequence > since; ++one)
    result.push_back(*one);
  std::ranges::reverse(result);
  return result;
}

std::shared_ptr<void> event_log::follow(std::function<void(const event&)> action) {
  const auto place = followers_->insert(followers_->end(), std::move(action));
  return std::shared_ptr<void>(nullptr, [list = followers_, place](void*) { list->erase(place); });
}

}  // namespace rtd::supervisor
