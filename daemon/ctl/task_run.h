// Starting a task and waiting for its end.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "daemon/ctl/command_context.h"

namespace rtd::ctl {

struct run_request {
  std::string plugin;
  std::string entry;
  std::string name;
  std::string sandbox;
  std::string restart;
  std::int64_t weight = 0;              ///< 0: the default
  std::string scheduling;               ///< empty: the default
  std::vector<std::string> parameters;  ///< "key=value"
  bool keep = false;                    ///< it is started again with rtd
  bool wait = false;
};

/// `rtctl task run`. Returns the exit status; with `wait` every outcome has its own, and nothing is thrown but what is
/// wrong with the command line. @throws command_error
int run_task(command_context& context, const run_request& request);

/// "key=value" texts as the object of the control protocol: a key given once has a text, else a list of texts.
/// @throws command_error usage naming the text that has no key
nlohmann::json parameters_of(const std::vector<std::string>& assignments);

/// exit_status_of_task, with the signal looked up at the task's sandbox when the task itself does not tell it.
int status_of_ended_task(command_context& context, const nlohmann::json& task);

}  // namespace rtd::ctl
