// The parts of the configuration that say what runs: plugins, sandboxes, tasks.
#include <algorithm>
#include <array>
#include <utility>

#include "daemon/config/duration.h"
#include "daemon/config/endpoint.h"
#include "daemon/config/isolation_section.h"
#include "daemon/config/memory_section.h"
#include "daemon/config/schedule_section.h"
#include "daemon/config/sections.h"
#include "daemon/config/suggest.h"
#include "daemon/config/task_order.h"
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
constexpr std::uint64_t least_memory = std::uint64_t{16} << 20;  // what a host takes before it has done anything
constexpr double most_cpus = 4096;
constexpr std::int64_t most_io_weight = 10'000;  // the kernel's
constexpr std::int64_t most_restarts = 1'000'000;
constexpr std::chrono::nanoseconds most_stop_timeout = 1h;
constexpr std::chrono::nanoseconds most_delay = 24h;
constexpr std::chrono::nanoseconds most_window = 30 * 24h;
constexpr std::chrono::nanoseconds most_stable_after = 24h;

constexpr std::size_t most_task_names = 64;

constexpr std::size_t most_listen_addresses = 16;
constexpr std::size_t most_socket_path = 107;  // sockaddr_un

constexpr std::size_t most_params = 256;
constexpr std::size_t most_param_key_bytes = 64;
constexpr std::size_t most_param_bytes = 64 * 1024;
constexpr std::size_t most_param_items = 10'000;

// The runtime's own bounds (sched/group_share.h), and the weight of a batch task.
constexpr std::int64_t least_weight = 1;
constexpr std::int64_t most_weight = 10'000;
constexpr std::int64_t batch_weight = 1;

// In the order of the enumerators.
constexpr std::array<std::string_view, 3> restart_policies{"always", "on-failure", "never"};
constexpr std::array<std::string_view, 3> task_classes{"batch", "normal", "latency"};
constexpr std::array<std::string_view, 3> deadlock_policies{"fail", "report", "ignore"};

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

/// How long max_restarts restarts take at least, however quickly each run ends: the sum of their delays, which the
/// jitter may shorten by a fifth (supervisor/backoff.cpp).
std::chrono::nanoseconds least_row(const restart_settings& of) {
  std::chrono::nanoseconds sum = 0ns;
  std::chrono::nanoseconds delay = of.initial_delay;
  for (std::int64_t i = 0; i < of.max_restarts && sum < of.window; ++i) {
    sum += delay / 5 * 4;
    delay = std::min(delay * 2, of.max_delay);
  }
  return sum;
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
  const auto restarts = object.find("max_restarts");
  const bool restarts_good =
      !restarts || restarts->read_integer(to.max_restarts, 0, most_restarts, "0 means without limit");
  const auto window = object.find("window");
  const bool window_good = !window || window->read_duration(to.window, 1s, most_window);
  // A limit that the delays alone keep from being reached would be none.
  if (initial_good && most_good && restarts_good && window_good && to.initial_delay <= to.max_delay &&
      to.max_restarts > 0 && least_row(to) >= to.window) {
    (restarts ? *restarts : from)
        .complain("max_restarts " + std::to_string(to.max_restarts) + " can never be reached: so many restarts take " +
                      "longer than the window of " + format_duration(to.window) + ", by their delays alone",
                  "lengthen window, or lower max_restarts, initial_delay or max_delay");
  }
  if (const auto stable = object.find("stable_after")) stable->read_duration(to.stable_after, 1ms, most_stable_after);
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
  if (const auto memory = object.find("memory")) memory->read_size(to.memory, 0, most_file_size);
  if (to.memory > 0 && to.memory < least_memory) {
    from.complain("memory is less than a host itself needs", "give at least 16MiB, or 0 for no limit");
  }
  if (const auto threads = object.find("threads");
      threads && threads->read_integer(number, 0, most_processes, "0 means without limit")) {
    to.threads = static_cast<std::uint64_t>(number);
  }
  if (const auto cpus = object.find("cpus")) cpus->read_number(to.cpus, 0, most_cpus, "0 means without limit");
  if (const auto weight = object.find("io_weight");
      weight && weight->read_integer(number, 0, most_io_weight, "0 takes the kernel's default")) {
    to.io_weight = static_cast<std::uint64_t>(number);
  }
  if (const auto rate = object.find("io_read")) rate->read_size(to.io_read, 0, most_file_size, "0 means without limit");
  if (const auto rate = object.find("io_write"))
    rate->read_size(to.io_write, 0, most_file_size, "0 means without limit");
  object.refuse_unknown_keys();
}

void read_sandbox(const value& from, sandbox& to) {
  object_reader object(from);
  if (const auto procs = object.find("max_procs")) {
    procs->read_integer(to.max_procs, 0, most_procs, "0 takes as many as the CPUs allow");
  }
  if (const auto size = object.find("stack_size")) read_stack_size(*size, to.stack_size, false);
  if (const auto limits = object.find("limits")) read_limits(*limits, to.limits);
  if (const auto isolation = object.find("isolation")) read_isolation(*isolation, to.isolation);
  if (const auto gc = object.find("gc")) read_gc(*gc, to.gc);
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

/// The names of other tasks.
void read_task_names(const value& from, std::string_view self, const known_names& known, std::vector<std::string>& to) {
  if (from.json().kind != node_kind::array) {
    from.refuse("an array of names of tasks", from.json().kind == node_kind::string ? "put it into [ ]" : "");
    return;
  }
  if (from.json().items.size() > most_task_names) {
    from.complain("the array has " + std::to_string(from.json().items.size()) + " items",
                  "at most " + std::to_string(most_task_names) + " are allowed");
    return;
  }
  for (std::size_t i = 0; i < from.json().items.size(); ++i) {
    const value item(from.json().items[i], child_pointer(from.pointer(), std::to_string(i)), from.problems());
    std::string name;
    if (item.json().kind == node_kind::string && item.json().text == self) {
      item.complain("the task names itself", "remove it");
    } else if (std::find(to.begin(), to.end(), item.json().text) != to.end()) {
      item.complain(in_quotes(item.json().text) + " is named twice", "remove it");
    } else {
      read_reference(item, "tasks", known.tasks, name);
      if (!name.empty()) to.push_back(std::move(name));
    }
  }
}

/// Addresses that the supervisor listens on for a task.
void read_listen(const value& from, std::vector<std::string>& to) {
  if (from.json().kind != node_kind::array) {
    from.refuse("an array of addresses", from.json().kind == node_kind::string ? "put it into [ ]" : "");
    return;
  }
  if (from.json().items.size() > most_listen_addresses) {
    from.complain("the array has " + std::to_string(from.json().items.size()) + " items",
                  "at most " + std::to_string(most_listen_addresses) + " are allowed");
    return;
  }
  for (std::size_t i = 0; i < from.json().items.size(); ++i) {
    const value item(from.json().items[i], child_pointer(from.pointer(), std::to_string(i)), from.problems());
    std::string text;
    if (!item.read_string(text, 256)) continue;
    constexpr std::string_view file = "unix:";
    if (text.starts_with(file)) {
      const std::size_t length = text.size() - file.size();
      if (text.size() <= file.size() || text[file.size()] != '/' || length > most_socket_path) {
        item.complain(in_quotes(text) + " is no socket to listen on",
                      "write \"unix:\" and an absolute path of at most " + std::to_string(most_socket_path) + " bytes");
        continue;
      }
    } else {
      std::string why;
      const std::optional<endpoint> address = parse_endpoint(text, &why);
      if (!address || address->port == 0) {
        item.complain(in_quotes(text) + " is no address to listen on: " + (address ? "the port is 0" : why),
                      "write ADDRESS:PORT such as \"127.0.0.1:8080\" or \"[::]:8080\", or \"unix:/run/x.sock\"");
        continue;
      }
      text = format_endpoint(*address);
    }
    if (std::find(to.begin(), to.end(), text) != to.end()) {
      item.complain(in_quotes(text) + " is named twice", "remove it");
      continue;
    }
    to.push_back(std::move(text));
  }
}

void read_task(const value& from, std::string_view self, const known_names& known, task& to) {
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
  if (const auto schedule = object.find("schedule")) read_schedule(*schedule, to.schedule);
  if (const auto drain = object.find("drain_timeout")) drain->read_duration(to.drain_timeout, 0s, most_stop_timeout);
  if (const auto cancel = object.find("cancel_timeout")) {
    cancel->read_duration(to.cancel_timeout, 0s, most_stop_timeout);
  }
  if (const auto timeout = object.find("stop_timeout")) timeout->read_duration(to.stop_timeout, 0s, most_stop_timeout);
  if (const auto size = object.find("stack_size")) read_stack_size(*size, to.stack_size, true);
  if (const auto listen = object.find("listen")) read_listen(*listen, to.listen);
  if (const auto start = object.find("start_on_connection")) {
    const bool is_read = start->read_bool(to.start_on_connection);
    if (is_read && to.start_on_connection && to.listen.empty()) {
      start->complain("start_on_connection has no effect without listen",
                      "give the addresses in \"listen\", or remove it");
    } else if (is_read && to.start_on_connection && to.schedule) {
      start->complain("a task is started by its schedule or by a connection, not by both",
                      "remove \"schedule\" or \"start_on_connection\"");
    }
  }
  std::size_t word = 0;
  if (const auto scheduling = object.find("class"); scheduling && scheduling->read_word(word, task_classes)) {
    to.scheduling = static_cast<task_class>(word);
    if (to.scheduling == task_class::batch) to.weight = batch_weight;
  }
  if (const auto weight = object.find("weight")) weight->read_integer(to.weight, least_weight, most_weight);
  if (const auto policy = object.find("on_deadlock"); policy && policy->read_word(word, deadlock_policies)) {
    to.on_deadlock = static_cast<deadlock_policy>(word);
  }
  if (const auto after = object.find("after")) read_task_names(*after, self, known, to.after);
  if (const auto required = object.find("requires")) read_task_names(*required, self, known, to.required);
  if (const auto limits = object.find("limits")) read_task_limits(*limits, to.limits);
  object.refuse_unknown_keys();
}

}  // namespace

std::string_view to_string(restart_policy value) noexcept { return restart_policies[static_cast<std::size_t>(value)]; }
std::string_view to_string(deadlock_policy value) noexcept {
  return deadlock_policies[static_cast<std::size_t>(value)];
}

std::string_view to_string(task_class value) noexcept { return task_classes[static_cast<std::size_t>(value)]; }

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
    read_task(entry, name, known, to[name]);
  });
  for (const auto& cycle : cycles_of(to)) {
    std::string way;
    for (const auto& name : cycle) way += name + " -> ";
    // Said where the first of them names the second.
    const member* first = nullptr;
    for (const member& entry : from.json().members)
      if (first == nullptr && entry.name == cycle.front()) first = &entry;
    const value place(first->value, child_pointer(from.pointer(), first->name), from.problems());
    place.complain("tasks wait for each other in a circle: " + way + cycle.front(),
                   "take one of these names out of \"after\" or \"requires\"");
  }
}

}  // namespace rtd::config
