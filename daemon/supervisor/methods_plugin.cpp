// plugin.list, plugin.check, plugin.replace, plugin.unload.
#include "daemon/supervisor/daemon.h"
#include "daemon/supervisor/host_trial.h"
#include "daemon/supervisor/methods.h"
#include "daemon/supervisor/plugin_replacement.h"

namespace rtd::supervisor {
namespace {

using nlohmann::json;
using protocol::error_kind;
using protocol::rpc_error;

constexpr int most_checks_at_once = 4;

json list_plugins(daemon& of) {
  json list = json::array();
  for (const auto& [name, settings] : of.configuration().plugins) {
    bool anywhere = false;
    for (const auto& [sandbox_name, sandbox] : of.sandboxes()) {
      const auto found = sandbox->plugins().find(name);
      if (found == sandbox->plugins().end()) continue;
      anywhere = true;
      json one = found->second.to_json();
      one["sandbox"] = sandbox_name;
      one["state"] = found->second.loaded ? "loaded" : "refused";
      one["error"] = found->second.error;
      one["error_kind"] = found->second.error_kind;
      list.push_back(std::move(one));
      for (const plugin_info& other : sandbox->other_versions()) {
        if (other.name != name) continue;
        json beside = other.to_json();
        beside["sandbox"] = sandbox_name;
        beside["state"] = other.error.empty() ? "beside" : "kept";
        beside["error"] = other.error;
        beside["error_kind"] = other.error_kind;
        list.push_back(std::move(beside));
      }
    }
    if (anywhere) continue;
    // Of a sandbox whose host is not up, or not needed by any task and without a sandbox "default" to be shown in.
    plugin_info unknown;
    unknown.name = name;
    unknown.path = settings.path;
    json one = unknown.to_json();
    one["sandbox"] = "";
    one["state"] = "unloaded";
    one["error"] = "";
    one["error_kind"] = "";
    list.push_back(std::move(one));
  }
  return {{"plugins", std::move(list)}};
}

// Loads the plugin in a host of its own, with the settings of the sandbox "default" or the first one.
void check_plugin(daemon& of, const std::shared_ptr<int>& running, const call_handle& made) {
  if (of.stopping()) throw rpc_error(error_kind::invalid_state, "the daemon is stopping");
  if (*running >= most_checks_at_once)
    throw rpc_error(error_kind::busy, std::to_string(*running) + " plugins are being checked already");
  const std::string path = made->text("path");
  if (path.empty() || path.front() != '/')
    throw rpc_error(error_kind::invalid_params, "\"path\" must be absolute", {{"pointer", "/params/path"}});
  const auto& sandboxes = of.configuration().sandboxes;
  const auto settings = sandboxes.contains("default") ? sandboxes.find("default") : sandboxes.begin();
  ++*running;
  auto trial = std::make_shared<std::unique_ptr<host_trial>>();
  *trial = std::make_unique<host_trial>(
      of.with(), "check", settings == sandboxes.end() ? config::sandbox{} : settings->second,
      daemon::host_binary(of.configuration()), std::map<std::string, std::string>{{"", path}},
      [&of, running, made, trial, path](const host_trial::outcome& outcome) {
        --*running;
        const auto found = outcome.plugins.find("");
        plugin_info info =
            found != outcome.plugins.end() ? found->second : refused_plugin("", path, "sandbox_failed", outcome.error);
        json result = info.to_json();
        result["ok"] = info.loaded;
        result["kind"] = info.error_kind;
        result["message"] = info.error;
        of.with().events.add(
            log_level::info, "plugin_checked", {}, {},
            "plugin " + path +
                (info.loaded ? " is good: " + info.name + " " + info.version : " is refused: " + info.error),
            {{"path", path}, {"ok", info.loaded}, {"error_kind", info.error_kind}});
        made->reply(result);
        // The trial that calls this is destroyed when the loop comes round.
        of.with().events_loop.post([trial] { trial->reset(); });
      });
}

void replace_plugin(daemon& of, const call_handle& made) {
  // Long enough for a mistake at the start to show.
  constexpr double default_watch = 3;
  const auto watch = std::chrono::duration<double>(made->number("watch_seconds", default_watch));
  of.replace_plugin(
      {made->text("name"), made->text("path"), std::chrono::duration_cast<std::chrono::nanoseconds>(watch)},
      [made](const json* result, const rpc_error* error) {
        if (error != nullptr)
          made->fail(*error);
        else
          made->reply(*result);
      });
}

// Tries again what a replacement had to leave behind.
void unload_others(daemon& of, const call_handle& made) {
  const std::string name = made->text("name");
  if (!of.configuration().plugins.contains(name))
    throw rpc_error(error_kind::not_found, "there is no plugin \"" + name + "\" in the configuration");
  auto unloaded = std::make_shared<json>(json::array());
  auto problems = std::make_shared<std::string>();
  const auto all = when_all_done([made, unloaded, problems] {
    if (problems->empty()) return made->reply({{"unloaded", *unloaded}});
    made->fail(error_kind::invalid_state, *problems, "stop or restart what refers to it, or restart the sandbox");
  });
  for (const auto& [sandbox_name, sandbox] : of.sandboxes()) {
    std::vector<plugin_info> kept;
    for (const plugin_info& other : sandbox->other_versions())
      if (other.name == name && !other.error.empty()) kept.push_back(other);
    for (const plugin_info& other : kept)
      sandbox->unload_version(name, other.number,
                              [all, unloaded, problems, version = other.version, where = sandbox_name](
                                  bool good, const std::string& problem) {
                                if (good)
                                  unloaded->push_back({{"sandbox", where}, {"version", version}});
                                else if (problems->empty())
                                  *problems = problem;
                              });
  }
}

}  // namespace

void register_plugin_methods(control_server& server, daemon& of) {
  server.handle("plugin.list", [&of](const call_handle& made) { made->reply(list_plugins(of)); });
  server.handle("plugin.check", [&of, running = std::make_shared<int>(0)](const call_handle& made) {
    check_plugin(of, running, made);
  });
  server.handle("plugin.replace", [&of](const call_handle& made) { replace_plugin(of, made); });
  server.handle("plugin.unload", [&of](const call_handle& made) { unload_others(of, made); });
}

}  // namespace rtd::supervisor
