#include "daemon/supervisor/host_start.h"

#include "daemon/protocol/version.h"
#include "daemon/sandbox/environment.h"

namespace rtd::supervisor {

sandbox::launch_request make_launch_request(const std::string& name, const config::sandbox& settings,
                                            const std::string& host_binary) {
  sandbox::launch_request request;
  request.program = host_binary;
  request.arguments = {"--sandbox", name};
  request.environment = sandbox::host_environment();
  const auto& limits = settings.limits;
  request.limits.open_files = limits.open_files;
  if (limits.processes > 0) request.limits.processes = limits.processes;
  if (limits.file_size > 0) request.limits.file_size = limits.file_size;
  request.limits.core = limits.core;
  return request;
}

nlohmann::json make_configure_params(const std::string& name, const config::sandbox& settings, log_level level) {
  return {{"sandbox", name},
          {"max_procs", settings.max_procs},
          {"stack_size", settings.stack_size},
          {"log_level", to_string(level)}};
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
