#include "daemon/supervisor/host_start.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <optional>

#include "daemon/protocol/fields.h"
#include "daemon/protocol/text.h"
#include "daemon/protocol/version.h"
#include "daemon/sandbox/environment.h"
#include "daemon/sandbox/plan.h"
#include "runtime/os/cpu.h"

namespace rtd::supervisor {

namespace {

constexpr std::size_t most_layers = 64;

std::optional<std::vector<std::uint16_t>> ports_of(const config::address_grants& from) {
  if (from.every_port) return std::nullopt;
  return from.ports;
}

// A host without /proc cannot see the quotas of its control groups; where there is none, it follows the CPUs by itself.
std::int64_t procs_of(const config::sandbox& settings) {
  if (settings.max_procs > 0 || settings.isolation.mode == config::isolation_mode::none) return settings.max_procs;
  double quota = rt::os::cgroup_cpu_quota("");
  const double own = settings.limits.cpus;
  if (own > 0 && (quota <= 0 || own < quota)) quota = own;
  if (quota <= 0) return 0;
  return std::max<std::int64_t>(1, std::min<std::int64_t>(rt::os::affinity_cpus(), std::llround(std::ceil(quota))));
}

// What the collector of a confined host cannot find out either. Bytes; 0: no limit.
std::uint64_t memory_limit_of(const config::sandbox& settings) {
  if (settings.gc.memory_limit > 0) return settings.gc.memory_limit;
  std::uint64_t limit = rt::os::cgroup_memory_limit("");
  const std::uint64_t own = settings.limits.memory;
  if (own > 0 && (limit == 0 || own < limit)) limit = own;
  // A tenth is left for the program's code, malloc, and what the kernel counts for the group.
  return limit / 10 * 9;
}

sandbox::confinement confinement_of(const config::sandbox& settings, const std::string& host_binary,
                                    const std::map<std::string, std::string>& plugins) {
  const config::isolation_settings& isolation = settings.isolation;
  sandbox::plan_request plan;
  plan.strict = isolation.mode == config::isolation_mode::strict;
  plan.host_binary = host_binary;
  plan.dumpable = settings.limits.core > 0;
  for (const auto& [name, path] : plugins) {
    plan.plugins.push_back(path);
    // A file that is replaced later is another one: a sandbox that may load it then sees the folder.
    if (!isolation.seal) plan.plugin_folders.push_back(std::filesystem::path(path).parent_path().string());
  }
  plan.granted.read = isolation.grants.read;
  plan.granted.write = isolation.grants.write;
  plan.granted.listen = ports_of(isolation.grants.listen);
  plan.granted.connect = ports_of(isolation.grants.connect);
  plan.granted.datagrams = isolation.grants.udp;
  plan.granted.scratch = isolation.scratch;
  return sandbox::plan_confinement(plan);
}

// Files on all disks that a plugin can read from or write to.
std::vector<std::string> reachable_files(const config::isolation_settings& isolation) {
  if (isolation.mode == config::isolation_mode::none) return {"/"};
  std::vector<std::string> files = isolation.grants.read;
  files.insert(files.end(), isolation.grants.write.begin(), isolation.grants.write.end());
  return files;
}

}  // namespace

sandbox::launch_request make_launch_request(const std::string& name, const config::sandbox& settings,
                                            const std::string& host_binary,
                                            const std::map<std::string, std::string>& plugins, bool learning) {
  sandbox::launch_request request;
  request.name = name;
  request.program = host_binary;
  request.arguments = {"--sandbox", name};
  request.environment = sandbox::host_environment();
  const auto& limits = settings.limits;
  request.limits.open_files = limits.open_files;
  if (limits.processes > 0) request.limits.processes = limits.processes;
  if (limits.file_size > 0) request.limits.file_size = limits.file_size;
  request.limits.core = limits.core;
  if (limits.memory > 0) request.group.memory = limits.memory;
  if (limits.threads > 0) request.group.processes = limits.threads;
  if (limits.cpus > 0) request.group.cpus = limits.cpus;
  if (limits.io_weight > 0) request.group.io_weight = limits.io_weight;
  if (limits.io_read > 0) request.group.io_read = limits.io_read;
  if (limits.io_write > 0) request.group.io_write = limits.io_write;
  request.group.io_files = reachable_files(settings.isolation);
  for (const auto& [variable, value] : settings.isolation.grants.environment) {
    const std::string start = variable + "=";
    std::erase_if(request.environment, [&](const std::string& other) { return other.starts_with(start); });
    request.environment.push_back(start + value);
  }
  if (learning)
    request.confine = sandbox::plan_learning();
  else if (settings.isolation.mode != config::isolation_mode::none)
    request.confine = confinement_of(settings, host_binary, plugins);
  return request;
}

std::string take_layers(const nlohmann::json& answer, const config::sandbox& settings, host_layers& to) {
  if (const auto& layers = protocol::member(answer, "layers"); layers.is_array())
    for (const auto& layer : layers)
      if (layer.is_string() && protocol::is_name(layer.get_ref<const std::string&>()) && to.active.size() < most_layers)
        if (std::find(to.active.begin(), to.active.end(), layer) == to.active.end()) to.active.push_back(layer);
  if (const auto& layers = protocol::member(answer, "missing_layers"); layers.is_array())
    for (const auto& layer : layers) {
      const std::string name = protocol::text_field(layer, "name", protocol::max_name_bytes);
      if (protocol::is_name(name) && to.missing.size() < most_layers)
        to.missing.push_back({name, protocol::text_field(layer, "reason", 512)});
    }
  if (settings.isolation.mode != config::isolation_mode::strict) return {};
  if (!to.missing.empty()) return sandbox::describe(to.missing.front());
  for (const char* needed : {"nested_user_namespace", "capabilities", "landlock", "seccomp"})
    if (std::find(to.active.begin(), to.active.end(), needed) == to.active.end())
      return "its host does not say that it has put on the layer " + std::string(needed);
  return {};
}

nlohmann::json make_collector_params(const config::sandbox& settings) {
  return {{"gc_percent", settings.gc.percent}, {"memory_limit", memory_limit_of(settings)}};
}

nlohmann::json make_configure_params(const std::string& name, const config::sandbox& settings, log_level level) {
  nlohmann::json params = make_collector_params(settings);
  params.update({{"sandbox", name},
                 {"max_procs", procs_of(settings)},
                 {"stack_size", settings.stack_size},
                 {"log_level", to_string(level)}});
  return params;
}

std::string configure_problem(const host_answer& answer, const std::string& host_binary) {
  if (!answer.good()) return "it refused its configuration: " + answer.message;
  const auto is = [&](const char* key, const nlohmann::json& wanted) {
    const auto found = answer.result.find(key);
    return found != answer.result.end() && *found == wanted;
  };
  if (is("version", protocol::version()) && is("abi", plugin_abi)) return {};
  return host_binary + " is not of this daemon's build (version " + std::string(protocol::version()) + ", plugin ABI " +
         std::to_string(plugin_abi) + "): install both from one package";
}

}  // namespace rtd::supervisor
