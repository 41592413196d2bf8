// What every host is started with and asked first; shared by sandboxes and trials.
#pragma once

#include <chrono>
#include <nlohmann/json.hpp>
#include <string>

#include "daemon/config/config.h"
#include "daemon/sandbox/launch.h"
#include "daemon/supervisor/host_process.h"
#include "daemon/supervisor/log_record.h"

namespace rtd::supervisor {

/// The number of the plugin interface that this build speaks.
inline constexpr int plugin_abi = 1;

inline constexpr std::chrono::seconds configure_timeout{20};
inline constexpr std::chrono::seconds plugin_load_timeout{20};

sandbox::launch_request make_launch_request(const std::string& name, const config::sandbox& settings,
                                            const std::string& host_binary);

/// The parameters of host.configure.
nlohmann::json make_configure_params(const std::string& name, const config::sandbox& settings, log_level level);

/// What is wrong with the answer to host.configure; empty when the host and this supervisor fit together.
std::string configure_problem(const host_answer& answer, const std::string& host_binary);

}  // namespace rtd::supervisor
