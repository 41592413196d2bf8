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

json to_json(const sandbox& from) {
  return {{"max_procs", from.max_procs},
          {"stack_size", from.stack_size},
          {"limits",
           {{"open_files", from.limits.open_files},
            {"processes", from.limits.processes},
            {"file_size", from.limits.file_size},
            {"core", from.limits.core}}},
          {"restart", to_json(from.restart)},
          {"stop_timeout", format_duration(from.stop_timeout)}};
}

json to_json(const task& from) {
  return {{"plugin", from.plugin},
          {"entry", from.entry},
          {"sandbox", from.sandbox},
          {"params", params_to_json(from.params)},
          {"restart", to_json(from.restart)},
          {"autostart", from.autostart},
          {"stop_timeout", format_duration(from.stop_timeout)},
          {"stack_size", from.stack_size}};
}

/// An object with one member for each entry of the map; an empty one stays an object.
template <class Map, class Function>
json object_of(const Map& entries, Function&& convert) {
  json result = json::object();
  for (const auto& [name, entry] : entries) result[name] = convert(entry);
  return result;
}

}  // namespace

json to_json(const restart_settings& from) {
  return {{"policy", to_string(from.policy)},
          {"initial_delay", format_duration(from.initial_delay)},
          {"max_delay", format_duration(from.max_delay)},
          {"max_restarts", from.max_restarts},
          {"window", format_duration(from.window)}};
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
