// The parts of the configuration that say what runs: plugins, sandboxes, tasks.
#include <algorithm>
#include <array>
#include <utility>

#include "daemon/config/duration.h"
#include "daemon/config/sections.h"
#include "daemon/config/suggest.h"
#include "daemon/config/text.h"
#include "daemon/protocol/text.h"

namespace rtd::config {
namespace {

using namespace std::chrono_literals;

// The runtime's own bounds (rt::max_procs, rt::go_options::stack_size).
constexpr std::int64_t most_procs = 256;
constexpr std::uint64_t least_stack = 16 * 1024;
constexpr std::uint64_t most_stack = 64 * 1024 * 1024;

constexpr std::int64_t least_open_files = 64;         // a host needs some for itself
constexpr std::int64_t most_open_files = 1073741816;  // the largest fs.nr_open
constexpr std::int64_t most_processes = 4194304;      // the largest kernel.pid_max
constexpr std::uint64_t most_file_size = std::uint64_t{1} << 60;
constexpr std::int64_t most_restarts = 1'000'000;
constexpr std::chrono::nanoseconds most_stop_timeout = 1h;
constexpr std::chrono::nanoseconds most_delay = 24h;
constexpr std::chrono::nanoseconds most_window = 30 * 24h;

constexpr std::size_t most_params = 256;
constexpr std::size_t most_param_key_bytes = 64;
constexpr std::size_t most_param_bytes = 64 * 1024;
constexpr std::size_t most_param_items = 10'000;

// In the order of the enumerators.
constexpr std::array<std::string_view, 3> restart_policies{"always", "on-failure", "never"};

constexpr std::string_view name_rule = "lower-case letters, digits, '-' and '_', a letter first, at most 63";

/// Reports a key that is no name for a `what`.
void check_name(const std::string& name, std::string_view what, const value& entry, place at) {
  if (protocol::is_name(name)) return;
  entry.problems().add(entry.pointer(), at, in_quotes(name) + " is no name for a " + std::string(what),
                       "use " + std::string(name_rule));
}

void read_stack_size(const value& from, std::uint64_t& to, bool zero_inherits) {
  const node& json = from.json();
  const bool zero =
      (json.kind == node_kind::integer && json.integer == 0) || (json.kind == node_kind::string && json.text == "0");
  if (zero && zero_inherits) {
    to = 0;
    return;
  }
  from.read_size(to, least_stack, most_stack, zero_inherits ? "0 takes the sandbox's" : "");
}

void read_restart(const value& from, restart_settings& to) {
  object_reader object(from);
  std::size_t word = 0;
  if (const auto policy = object.find("policy"); policy && policy->read_word(word, restart_policies)) {
    to.policy = static_cast<restart_policy>(word);
  }
  const auto initial = object.find("initial_delay");
  const auto most = object.find("max_delay");
  const bool initial_good = !initial || initial->read_duration(to.initial_delay, 1ms, most_delay);
  const bool most_good = !most || most->read_duration(to.max_delay, 1ms, most_delay);
  if (initial_good && most_good && to.initial_delay > to.max_delay) {
    (most ? *most : *initial)
        .complain("max_delay " + format_duration(to.max_delay) + (most ? "" : " (the default)") +
                      " is shorter than initial_delay " + format_duration(to.initial_delay),
                  "raise max_delay, or lower initial_delay");
  }
  if (const auto restarts = object.find("max_restarts")) {
    restarts->read_integer(to.max_restarts, 0, most_restarts, "0 means without limit");
  }
  if (const auto window = object.find("window")) window->read_duration(to.window, 1s, most_window);
  object.refuse_unknown_keys();
}

void read_limits(const value& from, limit_settings& to) {
  object_reader object(from);
  std::int64_t number = 0;
  if (const auto files = object.find("open_files");
      files && files->read_integer(number, least_open_files, most_open_files)) {
    to.open_files = static_cast<std::uint64_t>(number);
  }
  if (const auto processes = object.find("processes");
      processes && processes->read_integer(number, 0, most_processes, "0 means without limit")) {
    to.processes = static_cast<std::uint64_t>(number);
  }
  if (const auto size = object.find("file_size")) size->read_size(to.file_size, 0, most_file_size);
  if (const auto core = object.find("core")) core->read_size(to.core, 0, most_file_size);
  object.refuse_unknown_keys();
}

void read_sandbox(const value& from, sandbox& to) {
  object_reader object(from);
  if (const auto procs = object.find("max_procs")) {
    procs->read_integer(to.max_procs, 0, most_procs, "0 takes as many as the CPUs allow");
  }
  if (const auto size = object.find("stack_size")) read_stack_size(*size, to.stack_size, false);
  if (const auto limits = object.find("limits")) read_limits(*limits, to.limits);
  if (const auto restart = object.find("restart")) read_restart(*restart, to.restart);
  if (const auto timeout = object.find("stop_timeout")) timeout->read_duration(to.stop_timeout, 0s, most_stop_timeout);
  object.refuse_unknown_keys();
}

/// A string, number or boolean as the text that the task sees.
bool read_param_item(const value& from, std::vector<std::string>& to) {
  switch (from.json().kind) {
    case node_kind::string: {
      std::string text;
      if (!from.read_string(text, most_param_bytes, true)) return false;
      to.push_back(std::move(text));
      return true;
    }
    case node_kind::integer:
    case node_kind::real:
      to.push_back(from.json().text);
      return true;
    case node_kind::boolean:
      to.push_back(from.json().boolean ? "true" : "false");
      return true;
    case node_kind::null:
    case node_kind::array:
    case node_kind::object:
      break;
  }
  return from.refuse("a string, a number, true or false, or an array of those",
                     from.json().kind == node_kind::object ? "tasks have no nested parameters, use several keys" : "");
}

bool is_param_key(std::string_view key) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
           c == '.';
  };
  return !key.empty() && key.size() <= most_param_key_bytes && std::all_of(key.begin(), key.end(), allowed);
}

void read_params(const value& from, std::map<std::string, std::vector<std::string>>& to) {
  for_each_entry(from, [&](const std::string& key, const value& entry, place at) {
    if (!is_param_key(key)) {
      entry.problems().add(entry.pointer(), at, in_quotes(key) + " is no name for a parameter",
                           "use letters, digits, '_', '-' and '.', at most 64");
    }
    std::vector<std::string> values;
    if (entry.json().kind != node_kind::array) {
      read_param_item(entry, values);
    } else if (entry.json().items.size() > most_param_items) {
      entry.complain("the array has " + std::to_string(entry.json().items.size()) + " items",
                     "at most 10000 are allowed");
    } else {
      for (std::size_t i = 0; i < entry.json().items.size(); ++i) {
        read_param_item(
            value(entry.json().items[i], child_pointer(entry.pointer(), std::to_string(i)), entry.problems()), values);
      }
    }
    to[key] = std::move(values);
  });
  if (to.size() > most_params) {
    from.complain("there are " + std::to_string(to.size()) + " parameters", "at most 256 are allowed");
  }
}

/// A name that must be one of those that another part of the document lists.
void read_reference(const value& from, std::string_view part, const std::set<std::string_view>& known,
                    std::string& to) {
  if (!from.read_string(to, 4096) || known.contains(to)) return;
  std::string remedy;
  if (!from.problems().full()) {
    const std::vector<std::string_view> names(known.begin(), known.end());
    remedy = did_you_mean(to, names, known.empty() ? "it lists none" : "it lists " + list_of(names, "and"));
  }
  from.complain(in_quotes(to) + " is not in " + in_quotes(part), remedy);
}

void read_sandbox_reference(object_reader& object, const value& whole, const std::set<std::string_view>& known,
                            std::string& to) {
  if (const auto found = object.find("sandbox")) {
    read_reference(*found, "sandboxes", known, to);
  } else if (whole.json().kind == node_kind::object && !known.empty() && !known.contains(to)) {
    whole.complain("the task names no sandbox, and there is no sandbox " + in_quotes(to),
                   "add \"sandbox\": " + list_of({known.begin(), known.end()}, "or"));
  }
}

void read_task(const value& from, const known_names& known, task& to) {
  object_reader object(from);
  if (const auto plugin = object.require("plugin", "add the name of one from \"plugins\"")) {
    read_reference(*plugin, "plugins", known.plugins, to.plugin);
  }
  if (const auto entry = object.require("entry", "add the name of a function that the plugin offers")) {
    if (entry->read_string(to.entry, 4096) && !protocol::is_identifier(to.entry)) {
      entry->complain(in_quotes(to.entry) + " is no name of an entry",
                      "use letters, digits and '_', no digit first, at most 63");
    }
  }
  read_sandbox_reference(object, from, known.sandboxes, to.sandbox);
  if (const auto params = object.find("params")) read_params(*params, to.params);
  if (const auto restart = object.find("restart")) read_restart(*restart, to.restart);
  if (const auto autostart = object.find("autostart")) autostart->read_bool(to.autostart);
  if (const auto timeout = object.find("stop_timeout")) timeout->read_duration(to.stop_timeout, 0s, most_stop_timeout);
  if (const auto size = object.find("stack_size")) read_stack_size(*size, to.stack_size, true);
  object.refuse_unknown_keys();
}

}  // namespace

std::string_view to_string(restart_policy value) noexcept { return restart_policies[static_cast<std::size_t>(value)]; }

void read_plugins(const value& from, std::string_view plugin_dir, std::map<std::string, plugin>& to) {
  for_each_entry(from, [&](const std::string& name, const value& entry, place at) {
    check_name(name, "plugin", entry, at);
    if (entry.json().kind != node_kind::object) {
      entry.refuse("an object", R"(such as {"path": "hello.so"})");
      return;
    }
    object_reader object(entry);
    plugin described;
    if (const auto path = object.require("path", "add the path of the shared object")) {
      path->read_path(described.path, plugin_dir);
    }
    object.refuse_unknown_keys();
    to[name] = std::move(described);
  });
}

void read_sandboxes(const value& from, std::map<std::string, sandbox>& to) {
  to.clear();
  for_each_entry(from, [&](const std::string& name, const value& entry, place at) {
    check_name(name, "sandbox", entry, at);
    read_sandbox(entry, to[name]);
  });
  if (from.json().kind == node_kind::object && to.empty()) {
    from.complain("there is no sandbox", R"(write {"default": {}}, or leave "sandboxes" out)");
  }
}

void read_tasks(const value& from, const known_names& known, std::map<std::string, task>& to) {
  for_each_entry(from, [&](const std::string& name, const value& entry, place at) {
    check_name(name, "task", entry, at);
    read_task(entry, known, to[name]);
  });
}

}  // namespace rtd::config
