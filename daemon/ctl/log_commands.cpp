// rtctl logs, rtctl events
#include <algorithm>
#include <chrono>
#include <limits>
#include <memory>
#include <optional>

#include "daemon/ctl/command_line.h"
#include "daemon/ctl/error.h"
#include "daemon/ctl/fields.h"
#include "daemon/ctl/units.h"
#include "daemon/protocol/methods.h"

namespace rtd::ctl {
namespace {

using nlohmann::json;

struct stream_choice {
  int limit = 100;
  bool follow = false;
  std::string sandbox;
  std::string task;
  std::string level;
  std::string since;
  std::optional<std::uint64_t> since_seq;
};

// "10m" ago, or a moment; in seconds before now.
double seconds_since(const std::string& text) {
  if (const auto moment = parse_time(text)) {
    const std::chrono::duration<double> now = std::chrono::system_clock::now().time_since_epoch();
    return std::max(0.0, now.count() - *moment);
  }
  if (const auto seconds = parse_seconds(text)) return *seconds;
  throw command_error(exit_code::usage, "--since \"" + safe_line(text) + "\" is no time",
                      "write how long ago (10m, 1h30m) or a moment (2025-11-23T18:49:05Z)");
}

std::string shown_level(const std::string& level) {
  std::string text = safe_line(level);
  if (text.size() < 5) text.resize(5, ' ');
  return text;
}

std::string shown_line(const console& terminal, const json& line) {
  const std::string level = text_of(line, "level");
  std::string origin = text_of(line, "sandbox");
  for (const char* part : {"task", "plugin"}) {
    const std::string name = text_of(line, part);
    if (name.empty()) continue;
    origin += (origin.empty() ? "" : "/") + name;
    break;
  }
  const std::string source = text_of(line, "source");
  if (origin.empty()) origin = source == "supervisor" || source.empty() ? "rtd" : source;
  if (source == "stdout" || source == "stderr") origin += " " + source;
  return terminal.painted(local_time(text_of(line, "time")), tone::faint) + ' ' +
         terminal.painted(shown_level(level), tone_of_level(level)) + ' ' +
         terminal.painted(safe_line(origin) + ":", tone::strong) + ' ' + safe_line(text_of(line, "message")) + '\n';
}

tone tone_of_event(const std::string& kind) {
  if (kind.ends_with("_failed") || kind.ends_with("_fatal") || kind.ends_with("_rejected") ||
      kind.ends_with("_refused"))
    return tone::bad;
  if (kind.ends_with("_backoff") || kind == "sandbox_exited") return tone::warning;
  if (kind.ends_with("_started") || kind.ends_with("_loaded") || kind.ends_with("_reloaded")) return tone::good;
  return tone::plain;
}

std::string shown_event(const console& terminal, const json& event) {
  const std::string kind = text_of(event, "kind");
  std::string padded = safe_line(kind);
  if (padded.size() < 16) padded.resize(16, ' ');
  std::string subject = text_of(event, "sandbox");
  if (const std::string task = text_of(event, "task"); !task.empty()) subject += (subject.empty() ? "" : "/") + task;
  if (!subject.empty()) subject += ": ";
  return terminal.painted(local_time(text_of(event, "time")), tone::faint) + ' ' +
         terminal.painted(padded, tone_of_event(kind)) + ' ' + safe_line(subject) +
         safe_line(text_of(event, "message")) + '\n';
}

struct stream_kind {
  const char* method;
  const char* list_key;
  const char* notification;
  const char* when_empty;
  std::string (*shown)(const console&, const json&);
};

constexpr stream_kind log_stream{"logs", "lines", "rtd.log", "No log lines.", shown_line};
constexpr stream_kind event_stream{"events", "events", "rtd.event", "No events.", shown_event};

// Prints notifications until the reader of the output or rtd goes away.
int follow(command_context& context, const stream_kind& kind) {
  console& terminal = context.terminal();
  while (terminal.flush()) {
    const notification next = context.next_notification();
    if (next.method == kind.notification) {
      if (terminal.is_json())
        terminal.write_json_line(next.params);
      else
        terminal.write(kind.shown(terminal, next.params));
    } else if (const auto lost = number_of(next.params, "dropped"); lost && *lost > 0) {
      terminal.complain("rtctl was too slow: rtd left out " + count_of(next.params, "dropped") + " lines");
    }
  }
  return 0;
}

int show_stream(command_context& context, const stream_kind& kind, const json& parameters, bool is_followed) {
  console& terminal = context.terminal();
  const json answer = context.call(kind.method, parameters);
  const json& items = list_of(answer, kind.list_key);
  if (terminal.is_json() && !is_followed) {
    terminal.write_json(answer, kind.list_key);
  } else {
    for (const json& item : items) {
      if (terminal.is_json())
        terminal.write_json_line(item);
      else
        terminal.write(kind.shown(terminal, item));
    }
    if (items.empty() && !is_followed) terminal.note(kind.when_empty);
  }
  return is_followed ? follow(context, kind) : 0;
}

int show_logs(command_context& context, const stream_choice& choice) {
  json parameters{{"limit", choice.limit}, {"follow", choice.follow}};
  if (!choice.sandbox.empty()) parameters["sandbox"] = choice.sandbox;
  if (!choice.task.empty()) parameters["task"] = choice.task;
  if (!choice.level.empty()) parameters["level"] = choice.level;
  if (!choice.since.empty()) parameters["since_seconds"] = seconds_since(choice.since);
  return show_stream(context, log_stream, parameters, choice.follow);
}

int show_events(command_context& context, const stream_choice& choice) {
  json parameters{{"limit", choice.limit}, {"follow", choice.follow}};
  if (choice.since_seq) parameters["since_seq"] = *choice.since_seq;
  return show_stream(context, event_stream, parameters, choice.follow);
}

// The most that rtd answers at once.
long most_of(const char* method) {
  for (const auto& parameter : protocol::find_method(method)->params)
    if (parameter.name == "limit") return static_cast<long>(parameter.most);
  return std::numeric_limits<int>::max();
}

void add_limits(CLI::App& command, stream_choice& choice, const char* method, const std::string& things) {
  limit_to(
      command.add_option("-n,--lines", choice.limit, "At most this many of the latest " + things + " (default: 100)")
          ->type_name("COUNT"),
      0, most_of(method));
  command.add_flag("-f,--follow", choice.follow,
                   "Go on with later " + things + " until interrupted; JSON comes one a line");
}

}  // namespace

void add_log_commands(command_line& line) {
  auto logs = std::make_shared<stream_choice>();
  auto& log_command = line.add_command(line.root(), "logs", "What tasks, hosts and rtd itself have logged",
                                       [logs](command_context& context) { return show_logs(context, *logs); });
  add_limits(log_command, *logs, log_stream.method, "lines");
  log_command.add_option("--since", logs->since, "Only lines since then: 10m (ago), or 2025-11-23T18:49:05Z")
      ->type_name("TIME");
  line.hint(log_command.add_option("--sandbox", logs->sandbox, "Only of this sandbox")->type_name("NAME"),
            value_source::sandboxes);
  line.hint(log_command.add_option("--task", logs->task, "Only of this task")->type_name("NAME"), value_source::tasks);
  line.choices(log_command.add_option("--level", logs->level, "Only this level and worse: debug, info, warn or error")
                   ->type_name("LEVEL"),
               {"debug", "info", "warn", "error"});

  auto events = std::make_shared<stream_choice>();
  auto& event_command =
      line.add_command(line.root(), "events", "What happened to rtd, its sandboxes, plugins and tasks",
                       [events](command_context& context) { return show_events(context, *events); });
  add_limits(event_command, *events, event_stream.method, "events");
  limit_to(event_command.add_option("--since-seq", events->since_seq, "Only events after the one with this number")
               ->type_name("NUMBER"),
           0, std::numeric_limits<std::int64_t>::max());
}

}  // namespace rtd::ctl
