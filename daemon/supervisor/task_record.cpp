#include "daemon/supervisor/task_record.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "daemon/protocol/fields.h"

namespace rtd::supervisor {
namespace {

using nlohmann::json;
using std::chrono::system_clock;

constexpr std::int64_t most_count = std::int64_t{1} << 53;
constexpr double most_cpu_seconds = 1e12;
constexpr std::size_t most_words = 16;

// Times are whole microseconds since 1970: exact in JSON, and what system_clock tells is not finer to anybody.
std::int64_t to_number(system_clock::time_point when) {
  return std::chrono::duration_cast<std::chrono::microseconds>(when.time_since_epoch()).count();
}

system_clock::time_point time_field(const json& object, std::string_view key) {
  return system_clock::time_point(std::chrono::duration_cast<system_clock::duration>(
      std::chrono::microseconds(protocol::integer_field(object, key, 0, 0, most_count))));
}

std::uint64_t count_field(const json& object, std::string_view key) {
  return static_cast<std::uint64_t>(protocol::integer_field(object, key, 0, 0, most_count));
}

std::optional<task_state> state_field(const json& object, std::string_view key) {
  const std::string word = protocol::text_field(object, key, 32);
  for (const auto state :
       {task_state::starting, task_state::running, task_state::stopping, task_state::stopped, task_state::completed,
        task_state::failed, task_state::backoff, task_state::fatal, task_state::listening})
    if (word == to_string(state)) return state;
  return std::nullopt;
}

}  // namespace

json save_task(const managed_task& task) {
  json history = json::array();
  const auto skipped = task.history.size() - std::min(task.history.size(), saved_history_entries);
  for (auto entry = task.history.begin() + static_cast<std::ptrdiff_t>(skipped); entry != task.history.end(); ++entry)
    history.push_back({{"at", to_number(entry->at)}, {"state", to_string(entry->state)}, {"message", entry->message}});
  json result = {{"state", to_string(task.state)},
                 {"wanted", task.wanted},
                 {"keep", task.keep},
                 {"restarts", task.restarts},
                 {"deadlocks", task.deadlocks},
                 {"runs", task.runs_total},
                 {"stops", task.stops_total},
                 {"overlaps", task.overlaps_total},
                 {"cpu_seconds", task.cpu_seconds_of_ended_runs},
                 {"history", std::move(history)}};
  if (task.last_scheduled) result["last_scheduled"] = to_number(*task.last_scheduled);
  if (task.started_at) result["started_at"] = to_number(*task.started_at);
  if (task.last_exit)
    result["last_exit"] = {
        {"reason", task.last_exit->reason}, {"error", task.last_exit->error}, {"at", to_number(task.last_exit->at)}};
  if (!task.configured) result["task"] = config::to_json(task.spec);
  return result;
}

void restore_task(managed_task& task, const json& saved, bool clean) {
  task.keep = protocol::boolean_field(saved, "keep", false);
  task.restarts = count_field(saved, "restarts");
  task.deadlocks = count_field(saved, "deadlocks");
  task.cpu_seconds_of_ended_runs = protocol::number_field(saved, "cpu_seconds", 0, 0, most_cpu_seconds);
  for (const auto& [key, counts] : {std::pair("runs", &task.runs_total), std::pair("stops", &task.stops_total),
                                    std::pair("overlaps", &task.overlaps_total)})
    if (const json& by_word = protocol::member(saved, key); by_word.is_object() && by_word.size() <= most_words)
      for (const auto& [word, count] : by_word.items())
        (*counts)[protocol::clean_text(word, 32)] = count_field(by_word, word);
  if (protocol::member(saved, "started_at").is_number_integer()) task.started_at = time_field(saved, "started_at");
  if (protocol::member(saved, "last_scheduled").is_number_integer())
    task.last_scheduled = time_field(saved, "last_scheduled");
  if (const json& exit = protocol::member(saved, "last_exit"); exit.is_object())
    task.last_exit = task_exit{protocol::text_field(exit, "reason", 32),
                               protocol::text_field(exit, "error", protocol::max_text_bytes), time_field(exit, "at")};
  if (const json& history = protocol::member(saved, "history"); history.is_array())
    for (const json& entry : history)
      if (const auto state = state_field(entry, "state"); state && task.history.size() < saved_history_entries)
        task.history.push_back(
            {time_field(entry, "at"), *state, protocol::text_field(entry, "message", protocol::max_text_bytes)});
  const auto was = state_field(saved, "state").value_or(task_state::stopped);
  if (is_final(was)) {
    task.state = was;
    return;
  }
  if (clean || was == task_state::listening) {
    task.state = task_state::stopped;
    return;
  }
  const std::string why = "the daemon ended without stopping it, when it was " + std::string(to_string(was));
  task.last_exit = task_exit{"daemon", why, system_clock::now()};
  if (was == task_state::running || was == task_state::stopping) ++task.runs_total["crashed"];
  task.enter(task_state::stopped, why);
}

bool wants_start(const json& saved) {
  return protocol::boolean_field(saved, "keep", false) && protocol::boolean_field(saved, "wanted", false);
}

std::optional<config::task> saved_spec(const std::string& name, const json& saved, std::string& problem) {
  const json& spec = protocol::member(saved, "task");
  if (!spec.is_object()) return std::nullopt;
  // By the very rules of the configuration. What it refers to may be gone by now; that shows when it is started.
  const std::string plugin = protocol::text_field(spec, "plugin", protocol::max_name_bytes);
  const std::string sandbox = protocol::text_field(spec, "sandbox", protocol::max_name_bytes);
  const json document = {{"plugins", {{plugin, {{"path", "unknown"}}}}},
                         {"sandboxes", {{sandbox, json::object()}}},
                         {"tasks", {{name, spec}}}};
  config::load_result loaded = config::load_text(document.dump(), "/");
  if (loaded.value) return loaded.value->tasks.at(name);
  problem = loaded.problems.front().pointer + ": " + loaded.problems.front().message;
  return std::nullopt;
}

}  // namespace rtd::supervisor
