// The tables of tasks and sandboxes, which several commands show.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "daemon/ctl/console.h"
#include "daemon/ctl/table.h"

namespace rtd::ctl {

/// The state of a task or sandbox with the time until the next attempt: "backoff 3s".
cell state_cell(const nlohmann::json& item);

/// Why a task or sandbox ended last, in one line: "signal SIGSEGV at 2025-11-23 19:49:05.123"; empty if it never did.
std::string last_exit_text(const nlohmann::json& last_exit);

/// The age at `key`; empty for something that does not live and so has none.
std::string age_text(const nlohmann::json& item, std::string_view key);

/// When a task starts by itself the next time: "at 2025-11-23 19:49:05.123"; empty when nothing is planned.
std::string next_start_text(const nlohmann::json& task);

/// What is worth saying about a task: what it reports of itself, or why it does not run.
std::string task_remark(const nlohmann::json& task);

/// `tasks` and `sandboxes` are arrays as the control protocol shows them, in the order wanted.
table task_table(const nlohmann::json& tasks, bool wide);
table sandbox_table(const nlohmann::json& sandboxes, bool wide);

/// One name a line: what lists show with -q.
std::string names_of(const nlohmann::json& items);

}  // namespace rtd::ctl
