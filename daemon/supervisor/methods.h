// The methods of the control socket, in groups of one file each.
#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "daemon/supervisor/control_server.h"

namespace rtd::supervisor {

class daemon;
class managed_task;

/// Registers all methods of the table. Both must live as long as the server answers.
void register_methods(control_server& server, daemon& of);

void register_daemon_methods(control_server& server, daemon& of);
void register_task_methods(control_server& server, daemon& of);
void register_sandbox_methods(control_server& server, daemon& of);
void register_heap_methods(control_server& server, daemon& of);
void register_plugin_methods(control_server& server, daemon& of);
void register_config_methods(control_server& server, daemon& of);
void register_log_methods(control_server& server, daemon& of);

/// A task's row, with what its host says about it.
nlohmann::json task_row(daemon& of, const managed_task& task);

/// Calls `done` when the last copy of the result is gone: for answers that need several hosts.
std::shared_ptr<void> when_all_done(std::function<void()> done);

}  // namespace rtd::supervisor
