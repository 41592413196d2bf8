#include "daemon/host/log_drain.h"

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <vector>

#include "daemon/host/violation.h"
#include "daemon/protocol/framing.h"

namespace rtd::host {

using nlohmann::json;

const char* to_text(rt::log_level level) noexcept {
  switch (level) {
    case rt::log_level::debug:
      return "debug";
    case rt::log_level::info:
      return "info";
    case rt::log_level::warn:
      return "warn";
    case rt::log_level::error:
      return "error";
  }
  return "info";
}

bool parse_level(std::string_view text, rt::log_level& level) noexcept {
  for (rt::log_level one : {rt::log_level::debug, rt::log_level::info, rt::log_level::warn, rt::log_level::error}) {
    if (text != to_text(one)) continue;
    level = one;
    return true;
  }
  return false;
}

json to_json(const rt::detail::log_line& line) {
  bool has_task = line.task != nullptr;
  return {{"event", "log"},
          {"task", has_task ? line.task->id : std::string()},
          {"plugin", has_task ? line.task->plugin : std::string()},
          {"level", to_text(line.level)},
          {"message", line.message},
          {"time", std::chrono::duration<double>(line.time.time_since_epoch()).count()}};
}

bool log_drain::send_all() {
  // Notes first, lines second, but sent the other way round: see task_table.h.
  std::vector<task_note> notes = tasks_.take_notes();
  look_again_ = tasks_.look_at_limits(notes);
  std::vector<rt::detail::log_line> lines;
  log_->take(lines);
  std::string frames;
  for (const rt::detail::log_line& line : lines) {
    if (!add(to_json(line), frames)) return false;
  }
  if (std::uint64_t dropped = log_->dropped(); dropped != dropped_reported_) {
    std::string text = std::to_string(dropped - dropped_reported_) +
                       " log lines were dropped: they came faster than the daemon took them";
    dropped_reported_ = dropped;
    if (!add(to_json({nullptr, rt::log_level::warn, std::chrono::system_clock::now(), text}), frames)) return false;
  }
  take_violations([&](std::string_view report) { frames += rtd::protocol::encode_frame(report); });
  if (const std::uint64_t lost = violations_without_report(); lost != violations_lost_) {
    const json event = {{"event", "violations_lost"}, {"count", lost - violations_lost_}};
    violations_lost_ = lost;
    if (!add(event, frames)) return false;
  }
  for (const task_note& note : notes) {
    json event = {{"event", "task"},
                  {"id", note.id},
                  {"state", note.state},
                  {"error", note.error},
                  {"cpu_seconds", note.cpu_seconds}};
    if (!note.limit.empty()) event["limit"] = note.limit;
    if (note.has_accepted) event["has_accepted"] = true;
    if (!add(event, frames)) return false;
  }
  return frames.empty() || link_.send_frames(frames);
}

// Collects frames and sends them when they are worth a system call.
bool log_drain::add(const json& event, std::string& frames) {
  constexpr std::size_t worth_sending = 64 * 1024;
  link_writer::encode(event, frames);
  if (frames.size() < worth_sending) return true;
  bool open = link_.send_frames(frames);
  frames.clear();
  return open;
}

bool log_drain::run() {
  for (;;) {
    // Read before the last look, so that everything that was there when stop() was called is sent.
    bool last = stopping_.load();
    if (!send_all()) return false;
    if (last) return true;
    constexpr std::chrono::milliseconds longest = std::chrono::hours(1);
    auto until = longest;
    if (look_again_) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(*look_again_ - task_table::clock::now());
      until = std::clamp(left, std::chrono::milliseconds(0), longest);
    }
    log_->wait(until);
  }
}

void log_drain::stop() noexcept {
  stopping_.store(true);
  log_->wake();
}

}  // namespace rtd::host
