// What a reload has to do.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "daemon/config/config.h"

namespace rtd::config {

/// What a change asks of something that runs.
enum class effect : std::uint8_t {
  live,  ///< takes hold while it runs: a sandbox's max_procs (the host is told), and what only the supervisor looks at
         ///< (restart settings, stop_timeout, autostart)
  restart,  ///< it must be started again: limits and stack sizes, and for a task all that it was started with
};

/// How one plugin, sandbox or task differs.
struct change {
  effect how = effect::live;        ///< restart when any of the fields asks for it
  std::vector<std::string> fields;  ///< what changed: "max_procs", "limits.open_files", "params"; sorted

  bool operator==(const change&) const = default;
};

/// The differences of one part, by name.
struct part_changes {
  std::vector<std::string> added;
  std::vector<std::string> removed;
  std::map<std::string, change> changed;
  std::vector<std::string> unchanged;

  bool empty() const noexcept { return added.empty() && removed.empty() && changed.empty(); }
  bool operator==(const part_changes&) const = default;
};

struct change_set {
  /// A changed plugin has effect::restart: its tasks must go on with another file. They are in `tasks` with the field
  /// "plugin", even when nothing else about them changed.
  part_changes plugins;
  /// A sandbox that must restart takes its tasks with it; those stay in tasks.unchanged as long as they themselves are
  /// the same. A changed host_binary changes every sandbox that stays, with the field "host_binary".
  part_changes sandboxes;
  /// A changed restart policy alone is effect::live and does not restart the task. A task whose autostart became true
  /// (field "autostart") is to be started if it does not run; one whose autostart became false is left alone.
  part_changes tasks;
  bool control = false;  ///< the section differs
  bool http = false;
  bool log = false;
  bool metrics = false;

  /// True when there is nothing to do.
  bool empty() const noexcept;
  bool operator==(const change_set&) const = default;
};

/// Compares two configurations. plugin_dir counts only through the plugins' paths.
change_set diff(const config& from, const config& to);

/// The answer of config.reload: {"added": [pointer…], "removed": […], "changed": […], "unchanged": n}. Pointers name
/// sections ("/http") and things ("/tasks/greeter"); n counts plugins, sandboxes, tasks and sections.
nlohmann::json to_json(const change_set& changes);

}  // namespace rtd::config
