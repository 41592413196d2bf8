// What every host is started with and asked first; shared by sandboxes and trials.
#pragma once

#include <chrono>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "daemon/config/config.h"
#include "daemon/sandbox/launch.h"
#include "daemon/supervisor/host_process.h"
#include "daemon/supervisor/log_record.h"

namespace rtd::supervisor {

/// The layers of a host's confinement, the supervisor's half and its own.
struct host_layers {
  std::vector<std::string> active;
  std::vector<sandbox::missing_layer> missing;
};

/// The number of the plugin interface that this build speaks.
inline constexpr int plugin_abi = 1;

inline constexpr std::chrono::seconds configure_timeout{20};
inline constexpr std::chrono::seconds plugin_load_timeout{20};

/// `plugins`: the files that the host will be asked to load, by name. `learning`: it is to tell what they use.
/// @throws sandbox::launch_error when something granted is not there.
sandbox::launch_request make_launch_request(const std::string& name, const config::sandbox& settings,
                                            const std::string& host_binary,
                                            const std::map<std::string, std::string>& plugins, bool learning = false);

/// What is wrong with the layers that the host says it has put on; empty when those that strict mode needs are there.
/// Adds them to what is known of the host. A host may lie, but has not loaded anything yet that would make it.
std::string take_layers(const nlohmann::json& answer, const config::sandbox& settings, host_layers& to);

/// Of them, those of the collector: its memory limit follows those of the sandbox and of the daemon's control group,
/// which a confined host cannot see.
nlohmann::json make_collector_params(const config::sandbox& settings);

/// The parameters of host.configure.
nlohmann::json make_configure_params(const std::string& name, const config::sandbox& settings, log_level level);

/// What is wrong with the answer to host.configure; empty when the host and this supervisor fit together.
std::string configure_problem(const host_answer& answer, const std::string& host_binary);

}  // namespace rtd::supervisor
