#include "daemon/config/diff.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "daemon/config/problem.h"

namespace rtd::config {
namespace {

/// Gathers the fields in which two things differ.
class comparison {
 public:
  template <class Value>
  comparison& field(const Value& from, const Value& to, std::string_view name, effect how) {
    if (from == to) return *this;
    found_.fields.emplace_back(name);
    if (how == effect::restart) found_.how = effect::restart;
    return *this;
  }

  change take() {
    std::sort(found_.fields.begin(), found_.fields.end());
    return std::move(found_);
  }

 private:
  change found_;
};

change compare(const plugin& from, const plugin& to) {
  return comparison().field(from.path, to.path, "path", effect::restart).take();
}

change compare(const sandbox& from, const sandbox& to, bool other_binary) {
  return comparison()
      .field(from.max_procs, to.max_procs, "max_procs", effect::live)
      .field(from.gc, to.gc, "gc", effect::live)
      .field(from.restart, to.restart, "restart", effect::live)
      .field(from.stop_timeout, to.stop_timeout, "stop_timeout", effect::live)
      .field(from.stack_size, to.stack_size, "stack_size", effect::restart)
      .field(from.limits.open_files, to.limits.open_files, "limits.open_files", effect::restart)
      .field(from.limits.processes, to.limits.processes, "limits.processes", effect::restart)
      .field(from.limits.file_size, to.limits.file_size, "limits.file_size", effect::restart)
      .field(from.limits.core, to.limits.core, "limits.core", effect::restart)
      .field(from.limits.memory, to.limits.memory, "limits.memory", effect::restart)
      .field(from.limits.threads, to.limits.threads, "limits.threads", effect::restart)
      .field(from.limits.cpus, to.limits.cpus, "limits.cpus", effect::restart)
      .field(from.limits.io_weight, to.limits.io_weight, "limits.io_weight", effect::restart)
      .field(from.limits.io_read, to.limits.io_read, "limits.io_read", effect::restart)
      .field(from.limits.io_write, to.limits.io_write, "limits.io_write", effect::restart)
      .field(from.isolation, to.isolation, "isolation", effect::restart)
      .field(false, other_binary, "host_binary", effect::restart)
      .take();
}

change compare(const task& from, const task& to, bool other_plugin_file) {
  return comparison()
      .field(from.restart, to.restart, "restart", effect::live)
      .field(from.drain_timeout, to.drain_timeout, "drain_timeout", effect::live)
      .field(from.cancel_timeout, to.cancel_timeout, "cancel_timeout", effect::live)
      .field(from.stop_timeout, to.stop_timeout, "stop_timeout", effect::live)
      .field(from.autostart, to.autostart, "autostart", effect::live)
      .field(from.schedule, to.schedule, "schedule", effect::live)
      .field(from.weight, to.weight, "weight", effect::live)
      .field(from.scheduling, to.scheduling, "class", effect::live)
      .field(from.after, to.after, "after", effect::live)
      .field(from.required, to.required, "requires", effect::live)
      .field(from.limits, to.limits, "limits", effect::live)
      .field(false, from.plugin != to.plugin || other_plugin_file, "plugin", effect::restart)
      .field(from.entry, to.entry, "entry", effect::restart)
      .field(from.sandbox, to.sandbox, "sandbox", effect::restart)
      .field(from.params, to.params, "params", effect::restart)
      .field(from.listen, to.listen, "listen", effect::restart)
      .field(from.start_on_connection, to.start_on_connection, "start_on_connection", effect::restart)
      .field(from.stack_size, to.stack_size, "stack_size", effect::restart)
      .field(from.on_deadlock, to.on_deadlock, "on_deadlock", effect::restart)
      .take();
}

/// Sorts the names of both sides; `compare_entry(from, to)` looks at those that both have.
template <class Entry, class Function>
part_changes compare_part(const std::map<std::string, Entry>& from, const std::map<std::string, Entry>& to,
                          Function&& compare_entry) {
  part_changes result;
  for (const auto& [name, entry] : from) {
    const auto other = to.find(name);
    if (other == to.end()) {
      result.removed.push_back(name);
      continue;
    }
    change found = compare_entry(entry, other->second);
    if (found.fields.empty()) {
      result.unchanged.push_back(name);
    } else {
      result.changed.emplace(name, std::move(found));
    }
  }
  for (const auto& [name, entry] : to) {
    if (!from.contains(name)) result.added.push_back(name);
  }
  return result;
}

}  // namespace

bool change_set::empty() const noexcept {
  return plugins.empty() && sandboxes.empty() && tasks.empty() && !control && !http && !log && !metrics;
}

change_set diff(const config& from, const config& to) {
  change_set result;
  result.plugins =
      compare_part(from.plugins, to.plugins, [](const plugin& a, const plugin& b) { return compare(a, b); });
  const bool other_binary = from.host_binary != to.host_binary;
  result.sandboxes = compare_part(from.sandboxes, to.sandboxes,
                                  [&](const sandbox& a, const sandbox& b) { return compare(a, b, other_binary); });
  result.tasks = compare_part(from.tasks, to.tasks, [&](const task& a, const task& b) {
    return compare(a, b, result.plugins.changed.contains(b.plugin));
  });
  result.control = from.control != to.control;
  result.http = from.http != to.http;
  result.log = from.log != to.log;
  result.metrics = from.metrics != to.metrics;
  return result;
}

nlohmann::json to_json(const change_set& changes) {
  nlohmann::json added = nlohmann::json::array();
  nlohmann::json removed = nlohmann::json::array();
  nlohmann::json changed = nlohmann::json::array();
  std::size_t unchanged = 0;
  const std::array<std::pair<std::string_view, bool>, 4> sections{
      {{"/control", changes.control}, {"/http", changes.http}, {"/log", changes.log}, {"/metrics", changes.metrics}}};
  for (const auto& [pointer, differs] : sections) {
    if (differs) {
      changed.push_back(pointer);
    } else {
      ++unchanged;
    }
  }
  const std::array<std::pair<std::string_view, const part_changes*>, 3> parts{
      {{"/plugins", &changes.plugins}, {"/sandboxes", &changes.sandboxes}, {"/tasks", &changes.tasks}}};
  for (const auto& [pointer, part] : parts) {
    for (const std::string& name : part->added) added.push_back(child_pointer(pointer, name));
    for (const std::string& name : part->removed) removed.push_back(child_pointer(pointer, name));
    for (const auto& [name, how] : part->changed) changed.push_back(child_pointer(pointer, name));
    unchanged += part->unchanged.size();
  }
  return {{"added", added}, {"removed", removed}, {"changed", changed}, {"unchanged", unchanged}};
}

}  // namespace rtd::config
