// Questions of the control socket that hosts answer.
#pragma once

#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "daemon/supervisor/daemon.h"

namespace rtd::supervisor {

/// What hosts have answered, by the names of their sandboxes.
struct host_answers {
  std::map<std::string, nlohmann::json> parts;
  std::string problem;
  int good = 0;
};

/// The sandboxes that a call is about: its parameter "sandbox", or all. @throws rpc_error (not_found)
std::vector<managed_sandbox*> chosen_sandboxes(daemon& of, const call_handle& made);

/// The sandbox that a call means which names none: "default", or the only one.
std::string default_sandbox(daemon& of);

/// Asks the hosts at once and hands their answers on. An error only when none of them answered.
void ask_hosts(const call_handle& made, const std::vector<managed_sandbox*>& hosts, const char* method,
               const nlohmann::json& params, std::function<void(const host_answers&)> done);

}  // namespace rtd::supervisor
