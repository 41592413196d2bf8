#include "daemon/supervisor/host_lines.h"

#include <chrono>
#include <utility>

#include "daemon/protocol/fields.h"

namespace rtd::supervisor {
namespace {

std::string name_or_empty(const nlohmann::json& event, std::string_view key) {
  std::string text = protocol::text_field(event, key, protocol::max_name_bytes);
  return protocol::is_name(text) ? text : std::string();
}

}  // namespace

host_lines::host_lines(services with, std::string sandbox)
    : with_(with), sandbox_(std::move(sandbox)), report_timer_(with.events_loop) {}

void host_lines::log_event(const nlohmann::json& event) {
  log_record record;
  record.level = log_level_from(protocol::text_field(event, "level", 16)).value_or(log_level::info);
  if (record.level < with_.lines.level() || !admit("task")) return;
  record.source = log_source::task;
  record.sandbox = sandbox_;
  record.plugin = name_or_empty(event, "plugin");
  record.task = name_or_empty(event, "task");
  record.message = protocol::text_field(event, "message", protocol::max_text_bytes);
  // The host's clock is believed only as far as it agrees with ours.
  const double now = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  if (const double told = protocol::number_field(event, "time", 0, now - 60, now + 1); told > 0)
    record.time = std::chrono::system_clock::time_point(
        std::chrono::duration_cast<std::chrono::system_clock::duration>(std::chrono::duration<double>(told)));
  with_.lines.write(std::move(record));
}

void host_lines::output(bool is_error, std::string line) {
  log_record record;
  record.level = is_error ? log_level::warn : log_level::info;
  record.source = is_error ? log_source::standard_error : log_source::standard_output;
  if (record.level < with_.lines.level() || !admit(to_string(record.source))) return;
  record.sandbox = sandbox_;
  record.message = std::move(line);
  with_.lines.write(std::move(record));
}

bool host_lines::admit(std::string_view source) {
  if (limit_.take(1, clock::now())) return true;
  with_.lines.count_dropped(source, 1);
  ++dropped_[std::string(source)];
  if (!report_timer_.running()) report_timer_.start(std::chrono::seconds(1), [this] { report_dropped(); });
  return false;
}

void host_lines::report_dropped() {
  for (const auto& [source, count] : std::exchange(dropped_, {}))
    with_.lines.write(log_level::warn,
                      std::to_string(count) + " lines of " + source + " were dropped: the sandbox writes more than " +
                          std::to_string(static_cast<int>(rate)) + " lines a second",
                      sandbox_);
}

}  // namespace rtd::supervisor
