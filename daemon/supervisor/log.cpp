#include "daemon/supervisor/log.h"

#include <algorithm>

#include "daemon/protocol/text.h"

namespace rtd::supervisor {
namespace {

std::size_t size_of(const log_record& record) {
  return sizeof(log_record) + record.message.size() + record.sandbox.size() + record.plugin.size() + record.task.size();
}

}  // namespace

bool log_filter::wants(const log_record& record) const {
  return record.level >= least && record.time >= since && (sandbox.empty() || sandbox == record.sandbox) &&
         (task.empty() || task == record.task);
}

log::log(std::unique_ptr<log_writer> to) : writer_(std::move(to)) {}

log::~log() = default;

void log::replace_writer(std::unique_ptr<log_writer> to) {
  lost_by_former_writers_ += writer_->lost();
  writer_ = std::move(to);
}

void log::write(log_level level, std::string_view message, std::string sandbox, std::string task) {
  log_record record;
  record.level = level;
  record.sandbox = std::move(sandbox);
  record.task = std::move(task);
  record.message = protocol::clean_text(message);
  write(std::move(record));
}

void log::write(log_record record) {
  if (record.level < least_) return;
  if (record.time == std::chrono::system_clock::time_point{}) record.time = std::chrono::system_clock::now();
  record.sequence = next_sequence_++;
  ++counts_[{std::string(to_string(record.level)), std::string(to_string(record.source))}];
  writer_->write(record);
  ring_used_ += size_of(record);
  ring_.push_back(record);
  while (ring_.size() > ring_lines || ring_used_ > ring_bytes) {
    ring_used_ -= size_of(ring_.front());
    ring_.pop_front();
  }
  for (const auto& one : *followers_)
    if (one.filter.wants(record)) one.action(record);
}

void log::count_dropped(std::string_view source, std::uint64_t lines) { dropped_[std::string(source)] += lines; }

std::vector<log_record> log::last(const log_filter& filter, std::size_t limit) const {
  std::vector<log_record> result;
  for (auto record = ring_.rbegin(); record != ring_.rend() && result.size() < limit; ++record)
    if (filter.wants(*record)) result.push_back(*record);
  std::ranges::reverse(result);
  return result;
}

std::shared_ptr<void> log::follow(log_filter filter, follower action) {
  const auto place = followers_->insert(followers_->end(), {std::move(filter), std::move(action)});
  return std::shared_ptr<void>(nullptr, [list = followers_, place](void*) { list->erase(place); });
}

std::map<std::string, std::uint64_t> log::dropped() const {
  auto result = dropped_;
  result["writer"] = lost_by_former_writers_ + writer_->lost();
  return result;
}

}  // namespace rtd::supervisor
