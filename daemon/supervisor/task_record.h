// What the state file keeps of a task.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "daemon/supervisor/managed_task.h"

namespace rtd::supervisor {

/// Entries of a task's history that outlive the daemon; the newest.
inline constexpr std::size_t saved_history_entries = 20;

/// State, history, last exit, counts; of a task started by hand what it is, as well.
nlohmann::json save_task(const managed_task& task);

/// Puts back what save_task wrote; what is missing or makes no sense is left as it is, so that a document of another
/// version does no harm. `clean`: the daemon that wrote it had stopped its tasks; else those that ran get an exit that
/// says so. The task must be new, and is not started. Its state is `stopped`, or the final one that it was in.
void restore_task(managed_task& task, const nlohmann::json& saved, bool clean);

/// Whether the task is to be started again with the daemon: somebody asked for it, and it had not ended.
bool wants_start(const nlohmann::json& saved);

/// What a task started by hand is; nothing for a configured one, or when the record makes no sense. `problem` says why.
std::optional<config::task> saved_spec(const std::string& name, const nlohmann::json& saved, std::string& problem);

}  // namespace rtd::supervisor
