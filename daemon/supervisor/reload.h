// One reload of the configuration.
//
// It goes through these steps; a failure in one of the first four changes nothing and says why:
//   1. read, parse and check the file
//   2. see what differs from the configuration in force (and which plugin files are other files by now)
//   3. try what is new in throw-away hosts: do the sandboxes' hosts start, do the plugins load, do the tasks' entries
//   exist
//   4. open what listens anew (HTTP, control socket)
//   5. commit: the generation grows; from here on the new configuration is in force, whatever happens
//   6. carry out: stop tasks that went or changed, restart sandboxes that changed, start what is new
//
// Rejected: carrying out step by step with a way back on failure (a task that was stopped cannot be un-stopped: its
// connections are gone).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "daemon/config/config.h"
#include "daemon/config/diff.h"
#include "daemon/protocol/error.h"
#include "daemon/supervisor/host_trial.h"
#include "daemon/supervisor/http_front.h"
#include "daemon/supervisor/io/timer.h"
#include "daemon/supervisor/plugin_info.h"

namespace rtd::supervisor {

class daemon;

class reload_operation {
 public:
  using answer = std::function<void(const nlohmann::json*, const protocol::rpc_error*)>;

  /// `answered` is told the outcome, when `wait` after step 6, else after step 5. `ended` is told when all is over; it
  /// may destroy this object from the loop.
  reload_operation(daemon& of, bool wait, answer answered, std::function<void(bool good)> ended);
  ~reload_operation();
  reload_operation(const reload_operation&) = delete;
  reload_operation& operator=(const reload_operation&) = delete;

  void begin();

 private:
  struct trial_plan {
    std::string sandbox;
    std::map<std::string, std::string> plugins;
  };

  void plan();
  void plan_trials();
  void next_trial();
  void trial_done(const trial_plan& plan, const host_trial::outcome& outcome);
  void check_entries();
  void open_doors();
  void commit();
  void stop_what_went();
  void change_sandboxes();
  void change_plugins();
  void start_what_is_new();
  void add_task(const std::string& name, const std::function<void()>& done);
  void finish();
  void reject();
  void add_problem(const std::string& pointer, std::string message, std::string hint = {});
  nlohmann::json success() const;
  // Calls `then` when each of the actions that were counted has been.
  std::function<void()> join(std::function<void()> then);

  daemon& daemon_;
  bool wait_;
  answer answered_;
  std::function<void(bool)> ended_;
  config::config next_;
  config::change_set changes_;
  std::set<std::string> replaced_files_;  // plugins whose path names another file now
  std::vector<config::problem> problems_;
  std::vector<trial_plan> trials_;
  std::map<std::string, std::map<std::string, plugin_info>> tried_;  // by sandbox, by plugin
  std::unique_ptr<host_trial> trial_;
  std::unique_ptr<http_front> http_;
  timer settle_deadline_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace rtd::supervisor
