#include "daemon/host/log_drain.h"

#include <chrono>
#include <nlohmann/json.hpp>
#include <vector>

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
  for (const task_note& note : notes) {
    const json event = {{"event", "task"},
                        {"id", note.id},
                        {"state", note.state},
                        {"error", note.error},
                        {"cpu_seconds", note.cpu_seconds}};
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
    log_->wait(std::chrono::hours(1));
  }
}

void log_drain::stop() noexcept {
  stopping_.store(true);
  log_->wake();
}

}  // namespace rtd::host
