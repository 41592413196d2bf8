// The part of a sandbox that has several versions of a plugin in its host: for a replacement while it runs
// (plugin_replacement.h).
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "daemon/protocol/error.h"
#include "daemon/protocol/fields.h"
#include "daemon/supervisor/host_start.h"
#include "daemon/supervisor/managed_sandbox.h"

namespace rtd::supervisor {

using nlohmann::json;

bool managed_sandbox::can_load(const std::string& path) const { return is_up() && !sealed_ && sees(path); }

void managed_sandbox::load_beside(const std::string& plugin, const std::string& path, plugin_handler done) {
  file_identity identity;
  try {
    identity = check_plugin_file(path, ::geteuid());
  } catch (const protocol::rpc_error& error) {
    return with_.events_loop.post([info = refused_plugin(plugin, path, "plugin_file_refused", error.what()),
                                   done = std::move(done)] { done(info); });
  }
  request("plugin.load", {{"name", plugin}, {"path", path}, {"beside", true}}, plugin_load_timeout,
          [this, plugin, path, identity, done = std::move(done)](const host_answer& answer) {
            plugin_info info = read_plugin_answer(plugin, path, answer);
            info.identity = identity;
            if (answer.error_kind == "timeout") {
              // Its constructors run still, and nothing else can be loaded meanwhile.
              info.error = "it was not loaded in time: does a constructor of it wait for something?";
              host_->kill("watchdog", "plugin " + plugin + ": " + info.error);
            }
            ++plugin_loads_[plugin][info.loaded ? "success" : info.error_kind];
            if (info.loaded) {
              other_versions_.push_back(info);
              with_.events.add(log_level::info, "plugin_loaded", name_, {},
                               "plugin " + plugin + " " + info.version + " is loaded in sandbox " + name_ +
                                   " beside the version that runs",
                               {{"plugin", plugin}});
            }
            done(info);
          });
}

void managed_sandbox::use_version(const plugin_info& version, outcome_handler done) {
  request("plugin.use", {{"name", version.name}, {"number", version.number}}, configure_timeout,
          [this, version, done = std::move(done)](const host_answer& answer) {
            const auto other = std::ranges::find_if(other_versions_, [&](const plugin_info& one) {
              return one.name == version.name && one.number == version.number;
            });
            if (answer.good() && other != other_versions_.end()) std::swap(plugins_[version.name], *other);
            done(answer.good(), answer.message);
          });
}

void managed_sandbox::unload_version(const std::string& plugin, std::int64_t number, outcome_handler done) {
  request("plugin.unload", {{"name", plugin}, {"number", number}}, plugin_load_timeout,
          [this, plugin, number, done = std::move(done)](const host_answer& answer) {
            const auto other = std::ranges::find_if(
                other_versions_, [&](const plugin_info& one) { return one.name == plugin && one.number == number; });
            if (other != other_versions_.end()) {
              const std::string version = other->version;
              if (answer.good()) {
                other_versions_.erase(other);
                with_.events.add(
                    log_level::info, "plugin_unloaded", name_, {},
                    "plugin " + plugin + " " + version + " is unloaded from sandbox " + name_,
                    {{"plugin", plugin}, {"unmapped", protocol::boolean_field(answer.result, "unmapped", false)}});
              } else {
                other->error_kind = answer.error_kind;
                other->error = answer.message;
                with_.events.add(
                    log_level::warn, "plugin_kept", name_, {},
                    "plugin " + plugin + " " + version + " stays loaded in sandbox " + name_ + ": " + answer.message,
                    {{"plugin", plugin}, {"error_kind", answer.error_kind}});
              }
            }
            done(answer.good(), answer.message);
          });
}

}  // namespace rtd::supervisor
