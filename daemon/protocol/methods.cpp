#include "daemon/protocol/methods.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>

#include "daemon/protocol/error.h"
#include "daemon/protocol/json.h"
#include "daemon/protocol/text.h"

namespace rtd::protocol {
namespace {

using nlohmann::json;
using enum param_type;

constexpr std::string_view task_name = "The task's name";

constexpr std::array check_config_params{
    param_info{"text", text, false, "The configuration itself; else the daemon reads a file"},
    param_info{"file", text, false, "An absolute path; by default the daemon's own configuration file"},
};
constexpr std::array reload_params{
    param_info{"wait", boolean, false, "Answer when the changes have been carried out (default true)"},
    param_info{"expect_generation", integer, false, "Refuse when the configuration has another generation by now", 0,
               9e15},
};
constexpr std::array events_params{
    param_info{"limit", integer, false, "At most so many past events (default 100)", 0, 1000},
    param_info{"since_seq", integer, false, "Only events after this sequence number", 0, 9e15},
    param_info{"follow", boolean, false, "Send later events as notifications \"rtd.event\""},
};
constexpr std::array sandbox_param{param_info{"sandbox", name, false, "Only this sandbox"}};
constexpr std::array gc_set_params{
    param_info{"sandbox", name, false, "Only this sandbox"},
    param_info{"percent", integer, false,
               "How much the heap may grow between collections, in percent of what is live; -1: off", -1, 1000},
    param_info{"memory_limit", integer, false, "Soft limit of the runtime's memory in bytes; 0: none", 0, 9e15},
};
constexpr std::array heap_profile_params{
    param_info{"sandbox", name, false, "The sandbox (default that of the task, else \"default\", or the only one)"},
    param_info{"task", name, false, "Only this task's objects"},
    param_info{"collect", boolean, false, "Collect before, so that it is of this moment (default false)"},
};
constexpr std::array heap_why_params{
    param_info{"address", text, true, "The address of an object, or one inside it, in hexadecimal digits"},
    param_info{"sandbox", name, false, "The sandbox (default \"default\", or the only one)"},
};
constexpr std::array level_param{param_info{"level", text, true, "debug, info, warn or error"}};
constexpr std::array logs_params{
    param_info{"limit", integer, false, "At most so many past lines (default 100)", 0, 10000},
    param_info{"since_seconds", number, false, "Only lines of the last so many seconds", 0, 1e9},
    param_info{"sandbox", name, false, "Only lines of this sandbox"},
    param_info{"task", name, false, "Only lines of this task"},
    param_info{"level", text, false, "Only lines of this level and above: debug, info, warn or error"},
    param_info{"follow", boolean, false, "Send later lines as notifications \"rtd.log\""},
};
constexpr std::array plugin_check_params{param_info{"path", text, true, "The plugin's file, an absolute path"}};
constexpr std::array plugin_replace_params{
    param_info{"name", name, true, "The plugin's name"},
    param_info{"path", text, false, "The new version's file, an absolute path (default: the configured one)"},
    param_info{"watch_seconds", number, false,
               "How long its tasks must have run until the old version is given up (default 3)", 0, 3600},
};
constexpr std::array plugin_name{param_info{"name", name, true, "The plugin's name"}};
constexpr std::array sandbox_name{param_info{"name", name, true, "The sandbox's name"}};
constexpr std::array sandbox_learn_params{
    param_info{"name", name, true, "The sandbox's name"},
    param_info{"seconds", number, false, "How long to look on (default 10)", 0.1, 86400},
};
constexpr std::array stacks_params{
    param_info{"sandbox", name, false, "Only this sandbox"},
    param_info{"task", name, false, "Only this task's green threads"},
    param_info{"limit", integer, false, "At most so many green threads of each sandbox (default 1000)", 1, 100000},
};
constexpr std::array task_only{param_info{"name", name, true, task_name}};
constexpr std::array task_run_params{
    param_info{"name", name, false, "The task's name (default PLUGIN-ENTRY-N)"},
    param_info{"plugin", name, true, "A plugin of the configuration"},
    param_info{"entry", identifier, true, "One of its entries"},
    param_info{"sandbox", name, false, "The sandbox to run in (default \"default\", or the only one)"},
    param_info{"params", object, false, "Parameters: strings, numbers, booleans, or arrays of these"},
    param_info{"restart", policy, false,
               "Restart policy: always, on-failure or never, or an object as in the "
               "configuration (default on-failure, at most 5 restarts in 60 s)"},
    param_info{"stack_size", integer, false, "Bytes of stack of each green thread (0: the sandbox's)", 0, 1U << 30U},
    param_info{"weight", integer, false, "Its part of the CPU beside other tasks (default 100, of a batch task 1)", 1,
               10000},
    param_info{"class", text, false, "batch, normal or latency (default normal)"},
    param_info{"keep", boolean, false, "Start it again with the daemon, until it has ended or is stopped"},
};
constexpr std::array task_start_params{
    param_info{"name", name, true, task_name},
    param_info{"keep", boolean, false, "Start it again with the daemon, until it has ended or is stopped"},
};
constexpr std::array task_stop_params{
    param_info{"name", name, true, task_name},
    param_info{"grace_seconds", number, false, "How long the task may take to unwind (default its stop_timeout)", 0,
               3600},
    param_info{"now", boolean, false, "Begin with unwinding: leave out its drain_timeout and cancel_timeout"},
};
constexpr std::array task_wait_params{
    param_info{"name", name, true, task_name},
    param_info{"timeout_seconds", number, false, "Give up after so long (default: never)", 0, 1e9},
};
constexpr std::span<const param_info> none{};

constexpr std::array table{
    method_info{"config.check", role::view, false, "Checks a configuration and reports every problem",
                check_config_params},
    method_info{"config.reload", role::operate, true, "Reads the configuration file again and applies what changed",
                reload_params},
    method_info{"config.show", role::view, false, "The configuration in force, defaults filled in", none},
    method_info{"events", role::view, false, "What happened: starts, exits, reloads, refusals", events_params},
    method_info{"gc.run", role::operate, true,
                "Collects the heaps of the hosts and gives unused memory back to the system", sandbox_param},
    method_info{
        "gc.set", role::operate, true,
        "Sets percent or memory limit of the collectors until their hosts start anew; without both, as configured",
        gc_set_params},
    method_info{"gc.stats", role::view, false, "What the collectors have done, and what they are set to",
                sandbox_param},
    method_info{"heap.profile", role::operate, true,
                "Who has allocated what: a compressed profile for pprof, in base64", heap_profile_params},
    method_info{"heap.stats", role::view, false, "The collected heaps, by task and by size of the objects",
                sandbox_param},
    method_info{"heap.why", role::operate, true,
                "A path of references to an object, from a root down; collects for that", heap_why_params},
    method_info{"log_level", role::admin, true, "Sets the level of the log until the next reload", level_param},
    method_info{"logs", role::view, false, "Lines of the log", logs_params},
    method_info{"plugin.check", role::operate, true, "Loads a plugin in a throw-away host and says what it is",
                plugin_check_params},
    method_info{"plugin.list", role::view, false, "The plugins and their entries", none},
    method_info{"plugin.replace", role::admin, true,
                "Moves the tasks of a plugin to another version of it, and unloads the one before",
                plugin_replace_params},
    method_info{"plugin.unload", role::admin, true,
                "Tries again to unload former versions of a plugin that something referred to", plugin_name},
    method_info{"ps", role::view, false, "The tasks", sandbox_param},
    method_info{"rpc.discover", role::view, false, "This list of methods", none},
    method_info{"sandbox.learn", role::admin, true,
                "Runs a sandbox without isolation for a while and proposes what to grant it", sandbox_learn_params},
    method_info{"sandbox.list", role::view, false, "The sandboxes and their hosts", none},
    method_info{"sandbox.restart", role::operate, true, "Starts a sandbox's host anew, with all its tasks",
                sandbox_name},
    method_info{"shutdown", role::admin, true, "Stops the daemon", none},
    method_info{"stacks", role::view, false, "The stacks of the green threads", stacks_params},
    method_info{"status", role::view, false, "The daemon at a glance", none},
    method_info{"task.inspect", role::view, false, "All about one task, with its history", task_only},
    method_info{"task.restart", role::operate, true, "Stops a task and starts it again", task_only},
    method_info{"task.run", role::operate, true, "Starts a new task", task_run_params},
    method_info{"task.start", role::operate, true, "Starts a task that is not running", task_start_params},
    method_info{"task.stop", role::operate, true, "Stops a task and answers when it has ended", task_stop_params},
    method_info{"task.wait", role::view, false, "Answers when a task has ended for good", task_wait_params},
    method_info{"version", role::view, false, "Versions of the daemon and of its interfaces", none},
};

[[noreturn]] void refuse(const std::string& parameter, const std::string& message, const std::string& hint = {}) {
  json data = {{"pointer", "/params/" + parameter}};
  if (!hint.empty()) data["hint"] = hint;
  throw rpc_error(error_kind::invalid_params, message, std::move(data));
}

// The candidate nearest to `text`, if it is near enough that a typing error explains the difference.
template <class Range>
std::string_view closest(std::string_view text, const Range& candidates) {
  if (text.size() > max_name_bytes) return {};
  std::string_view best;
  std::size_t best_distance = 1 + std::max<std::size_t>(1, text.size() / 3);
  for (const auto& candidate : candidates)
    if (const auto distance = edit_distance(text, candidate.name); distance < best_distance) {
      best_distance = distance;
      best = candidate.name;
    }
  return best;
}

void check_value(const param_info& info, const json& value) {
  const std::string where(info.name);
  const auto expect = [&](bool good) {
    if (!good)
      refuse(where, "parameter \"" + where + "\" must be of type " + std::string(to_string(info.type)) + ", not " +
                        value.type_name());
  };
  switch (info.type) {
    case text: {
      expect(value.is_string());
      if (value.get_ref<const std::string&>().find('\0') != std::string::npos)
        refuse(where, "parameter \"" + where + "\" has a zero byte in it");
      break;
    }
    case name:
      expect(value.is_string());
      if (!is_name(value.get_ref<const std::string&>()))
        refuse(where, "\"" + clean_text(value.get_ref<const std::string&>(), 80) + "\" is no name",
               "names are lower case letters, digits, - and _, begin with a letter and have at most 63 bytes");
      break;
    case identifier:
      expect(value.is_string());
      if (!is_identifier(value.get_ref<const std::string&>()))
        refuse(where, "\"" + clean_text(value.get_ref<const std::string&>(), 80) + "\" is no entry's name",
               "an entry has the name of a C++ function");
      break;
    case boolean:
      expect(value.is_boolean());
      break;
    case integer:
    case number: {
      expect(info.type == integer ? value.is_number_integer() : value.is_number());
      const double figure = value.get<double>();
      if (!std::isfinite(figure) || figure < info.least || figure > info.most)
        refuse(where, "parameter \"" + where + "\" is out of range: " + to_line(value),
               "from " + to_line(info.least) + " to " + to_line(info.most));
      break;
    }
    case object:
      expect(value.is_object());
      break;
    case policy:
      expect(value.is_string() || value.is_object());
      break;
  }
}

}  // namespace

std::string_view to_string(param_type type) noexcept {
  switch (type) {
    case text:
    case name:
    case identifier:
      return "string";
    case boolean:
      return "boolean";
    case integer:
      return "integer";
    case number:
      return "number";
    case object:
      return "object";
    case policy:
      return "string|object";
  }
  return "string";
}

std::span<const method_info> methods() noexcept { return table; }

const method_info* find_method(std::string_view wanted) noexcept {
  const auto found = std::ranges::find(table, wanted, &method_info::name);
  return found == table.end() ? nullptr : &*found;
}

void check_params(const method_info& method, const json& params) {
  for (const auto& [key, value] : params.items()) {
    const auto info = std::ranges::find(method.params, std::string_view(key), &param_info::name);
    if (info == method.params.end()) {
      const std::string meant(closest(key, method.params));
      std::string known;
      for (const auto& param : method.params) known += (known.empty() ? "" : ", ") + std::string(param.name);
      refuse(clean_text(key, 64), "unknown parameter \"" + clean_text(key, 64) + "\"",
             !meant.empty()  ? "did you mean \"" + meant + "\"?"
             : known.empty() ? std::string(method.name) + " takes no parameters"
                             : std::string(method.name) + " takes " + known);
    }
    // A null stands for a parameter that is not given, unless it must be.
    if (value.is_null() && !info->required) continue;
    check_value(*info, value);
  }
  for (const auto& info : method.params)
    if (info.required && !params.contains(info.name))
      refuse(std::string(info.name), "parameter \"" + std::string(info.name) + "\" is missing",
             std::string(info.description));
}

json describe_methods() {
  json list = json::array();
  for (const auto& method : table) {
    json params = json::array();
    for (const auto& param : method.params) {
      json one = {{"name", param.name},
                  {"type", to_string(param.type)},
                  {"required", param.required},
                  {"description", param.description}};
      if (param.type == integer || param.type == number) {
        one["minimum"] = param.least;
        one["maximum"] = param.most;
      }
      params.push_back(std::move(one));
    }
    list.push_back({{"name", method.name},
                    {"role", to_string(method.needs)},
                    {"changes", method.changes},
                    {"description", method.description},
                    {"params", std::move(params)}});
  }
  return {{"methods", std::move(list)}};
}

rpc_error unknown_method(std::string_view wanted) {
  const std::string meant(closest(wanted, table));
  json data = json::object();
  data["hint"] = meant.empty() ? std::string("rpc.discover lists the methods") : "did you mean \"" + meant + "\"?";
  return rpc_error(error_kind::method_not_found, "there is no method \"" + clean_text(wanted, 64) + "\"",
                   std::move(data));
}

}  // namespace rtd::protocol
