#include "daemon/ctl/views.h"

#include "daemon/ctl/fields.h"
#include "daemon/ctl/units.h"

namespace rtd::ctl {

using nlohmann::json;

cell state_cell(const json& item) {
  const std::string state = text_of(item, "state");
  const auto wait = number_of(item, "backoff_seconds");
  return {state == "backoff" && wait ? state + " " + format_age(wait) : state, tone_of_state(state)};
}

std::string last_exit_text(const json& last_exit) {
  std::string text = text_of(last_exit, "reason");
  const auto append = [&](const std::string& part) {
    if (!part.empty()) text += (text.empty() ? "" : " ") + part;
  };
  if (const std::string signal = text_of(last_exit, "signal"); !signal.empty() && signal != "0") append(signal);
  if (text == "exit") append(text_of(last_exit, "code"));
  for (const char* part : {"error", "detail"})
    if (const std::string why = text_of(last_exit, part); !why.empty()) text += (text.empty() ? "" : ": ") + why;
  if (const std::string at = text_of(last_exit, "at"); !at.empty() && !text.empty()) append("at " + local_time(at));
  return text;
}

std::string age_text(const json& item, std::string_view key) {
  const auto age = number_of(item, key);
  const std::string state = text_of(item, "state");
  const bool lives = state == "running" || state == "starting" || state == "stopping" || state == "up";
  return age == 0.0 && !lives ? "" : format_age(age);
}

std::string next_start_text(const json& task) {
  const std::string at = text_of(task, "next_start_at");
  return at.empty() ? "" : "at " + local_time(at);
}

std::string task_remark(const json& task) {
  const std::string state = text_of(task, "state");
  if (state == "failed" || state == "fatal" || state == "backoff") {
    const json& last = member_of(task, "last_exit");
    if (const std::string error = text_of(last, "error"); !error.empty()) return error;
    if (const std::string reason = text_of(last, "reason"); !reason.empty()) return reason;
  }
  if (const std::string waits = text_of(task, "waits"); state == "starting" && !waits.empty()) return "waits: " + waits;
  const std::string next = next_start_text(task);
  if (flag_of(task, "scheduled") && !next.empty() && (state == "stopped" || state == "completed"))
    return "next " + next;
  return text_of(task, "status");
}

table task_table(const json& tasks, bool wide) {
  std::vector<column> columns{{"NAME"}, {"SANDBOX"}, {"PLUGIN"}};
  if (wide) columns.push_back({"ENTRY"});
  columns.insert(
      columns.end(),
      {{"STATE"}, {"RESTARTS", side::right}, {"AGE", side::right}, {"CPU", side::right}, {"GREEN", side::right}});
  if (wide) columns.insert(columns.end(), {{"CONFIGURED"}, {"LAST EXIT"}});
  columns.push_back({"STATUS", side::left, true});
  table result(std::move(columns));
  for (const json& task : tasks) {
    std::vector<cell> row{text_of(task, "name"), text_of(task, "sandbox"), text_of(task, "plugin")};
    if (wide) row.push_back(text_of(task, "entry"));
    row.push_back(state_cell(task));
    row.push_back(count_of(task, "restarts"));
    row.push_back(age_text(task, "age_seconds"));
    row.push_back(format_seconds(number_of(task, "cpu_seconds")));
    row.push_back(count_of(task, "green_threads"));
    if (wide) {
      row.push_back(flag_of(task, "configured") ? "yes" : "no");
      row.push_back(last_exit_text(member_of(task, "last_exit")));
    }
    row.push_back(task_remark(task));
    result.add(std::move(row));
  }
  return result;
}

table sandbox_table(const json& sandboxes, bool wide) {
  std::vector<column> columns{{"NAME"},
                              {"STATE"},
                              {"PID", side::right},
                              {"RESTARTS", side::right},
                              {"UPTIME", side::right},
                              {"PROCS", side::right},
                              {"GREEN", side::right},
                              {"RSS", side::right}};
  columns.push_back({"LAST EXIT", side::left, !wide});
  table result(std::move(columns));
  for (const json& sandbox : sandboxes) {
    const std::string given_up = text_of(sandbox, "fatal_reason");
    result.add({text_of(sandbox, "name"), state_cell(sandbox), count_of(sandbox, "pid"), count_of(sandbox, "restarts"),
                age_text(sandbox, "uptime_seconds"), count_of(sandbox, "procs"), count_of(sandbox, "green_threads"),
                format_bytes(number_of(sandbox, "rss_bytes")),
                given_up.empty() ? cell(last_exit_text(member_of(sandbox, "last_exit"))) : cell(given_up, tone::bad)});
  }
  return result;
}

std::string names_of(const json& items) {
  std::string text;
  for (const json& item : items) text += safe_line(text_of(item, "name")) + '\n';
  return text;
}

}  // namespace rtd::ctl
