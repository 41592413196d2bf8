#include <cstdio>
#include <nlohmann/json.hpp>

#include "daemon/config/config.h"
#include "daemon/config/duration.h"

namespace rtd::config {
namespace {

using nlohmann::json;

json to_json(const role_rule& from) {
  json result{{"role", protocol::to_string(from.role)}};
  if (!from.account.empty()) {
    result[from.is_group ? "group" : "user"] = from.account;
  } else {
    result[from.is_group ? "gid" : "uid"] = from.id;
  }
  return result;
}

json to_json(const control_section& from) {
  char mode[16];
  std::snprintf(mode, sizeof mode, "%04o", static_cast<unsigned>(from.mode));
  json roles = json::array();
  for (const role_rule& rule : from.roles) roles.push_back(to_json(rule));
  return {{"socket", from.socket}, {"mode", mode}, {"max_connections", from.max_connections}, {"roles", roles}};
}

json to_json(const isolation_settings& from) {
  return {{"mode", to_string(from.mode)},
          {"on_violation", to_string(from.on_violation)},
          {"seal", from.seal},
          {"scratch", from.scratch},
          {"grants",
           {{"read", from.grants.read},
            {"write", from.grants.write},
            {"listen", from.grants.listen.addresses},
            {"connect", from.grants.connect.addresses},
            {"udp", from.grants.udp},
            {"environment", from.grants.environment}}}};
}

json to_json(const sandbox& from) {
  return {{"max_procs", from.max_procs},
          {"stack_size", from.stack_size},
          {"limits",
           {{"open_files", from.limits.open_files},
            {"processes", from.limits.processes},
            {"file_size", from.limits.file_size},
            {"core", from.limits.core},
            {"memory", from.limits.memory},
            {"threads", from.limits.threads},
            {"cpus", from.limits.cpus},
            {"io_weight", from.limits.io_weight},
            {"io_read", from.limits.io_read},
            {"io_write", from.limits.io_write}}},
          {"isolation", to_json(from.isolation)},
          {"gc",
           {{"percent", from.gc.percent < 0 ? json("off") : json(from.gc.percent)},
            {"memory_limit", from.gc.memory_limit}}},
          {"restart", to_json(from.restart)},
          {"stop_timeout", format_duration(from.stop_timeout)}};
}

/// An object with one member for each entry of the map; an empty one stays an object.
template <class Map, class Function>
json object_of(const Map& entries, Function&& convert) {
  json result = json::object();
  for (const auto& [name, entry] : entries) result[name] = convert(entry);
  return result;
}

}  // namespace

json to_json(const std::optional<schedule_settings>& from) {
  if (!from) return nullptr;
  json result = {{"overlap", to_string(from->overlap)}};
  if (from->when) {
    result["cron"] = from->when->text;
    result["time_zone"] = to_string(from->zone);
  } else {
    result["every"] = format_duration(from->every);
  }
  return result;
}

json to_json(const task& from) {
  return {{"plugin", from.plugin},
          {"entry", from.entry},
          {"sandbox", from.sandbox},
          {"params", params_to_json(from.params)},
          {"restart", to_json(from.restart)},
          {"autostart", from.autostart},
          {"schedule", to_json(from.schedule)},
          {"drain_timeout", format_duration(from.drain_timeout)},
          {"cancel_timeout", format_duration(from.cancel_timeout)},
          {"stop_timeout", format_duration(from.stop_timeout)},
          {"listen", from.listen},
          {"start_on_connection", from.start_on_connection},
          {"stack_size", from.stack_size},
          {"weight", from.weight},
          {"class", to_string(from.scheduling)},
          {"on_deadlock", to_string(from.on_deadlock)},
          {"after", from.after},
          {"requires", from.required},
          {"limits", to_json(from.limits)}};
}

json to_json(const restart_settings& from) {
  return {{"policy", to_string(from.policy)},
          {"initial_delay", format_duration(from.initial_delay)},
          {"max_delay", format_duration(from.max_delay)},
          {"max_restarts", from.max_restarts},
          {"window", format_duration(from.window)},
          {"stable_after", format_duration(from.stable_after)}};
}

json to_json(const task_limit_settings& from) {
  return {{"heap_soft", from.heap_soft},
          {"heap_hard", from.heap_hard},
          {"green_threads", from.green_threads},
          {"connections", from.connections},
          {"log_rate", from.log_rate},
          {"log_burst", from.log_burst},
          {"cpus", from.cpus}};
}

json params_to_json(const std::map<std::string, std::vector<std::string>>& params) {
  return object_of(params, [](const std::vector<std::string>& values) {
    return values.size() == 1 ? json(values.front()) : json(values);
  });
}

json to_json(const config& from) {
  return {{"control", to_json(from.control)},
          {"http", {{"listen", from.http.listen ? format_endpoint(*from.http.listen) : ""}}},
          {"log", {{"level", to_string(from.log.level)}, {"format", to_string(from.log.format)}}},
          {"metrics", {{"go_compat", from.metrics.go_compat}}},
          {"plugins", object_of(from.plugins,
                                [](const plugin& p) {
                                  return json{{"path", p.path}};
                                })},
          {"plugin_dir", from.plugin_dir},
          {"host_binary", from.host_binary},
          {"sandboxes", object_of(from.sandboxes, [](const sandbox& s) { return to_json(s); })},
          {"tasks", object_of(from.tasks, [](const task& t) { return to_json(t); })}};
}

}  // namespace rtd::config
