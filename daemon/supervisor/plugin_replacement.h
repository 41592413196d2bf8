// One replacement of a plugin by another version while it runs.
//
//   try        the new version is loaded: beside the old one in the same host, where the host may map code (after a
//              trial in a host of its own, since a constructor that crashes takes its host along); else in a new host
//              of the sandbox beside the old one, with all the plugins of the sandbox
//   quiesce    the tasks that run the plugin (with a new host: all of the sandbox) are stopped by their ladders
//   switch     from here on tasks are started from the new version
//   watch      the tasks are started; they have to come up, and to stay up for a while
//   commit     the old version is unloaded, once it is proven that nothing refers to it (or its host ends, which needs
//              no proof); if something does, it stays loaded, and the answer says what
//
// A failure before `switch` changes nothing but that tasks may have been restarted; one during `watch` leads back: the
// tasks are stopped and started from the old version, which was there all the time.
//
// Invariants:
//   1. No task runs twice at the same time: it has one name, one set of parameters and limits, and what it uses alone
//      (a file, a port) it uses alone.
//   2. Until `commit` the host that would start next loads the old version, so its death leads back as well.
//   3. One replacement or reload at a time.
// Rejected: instances of both versions at once (invariant 1); replacing in the sealed host by keeping it open to new
// code (the seal is what keeps a broken plugin from bringing code in); unloading first and loading after that (a new
// version that does not load would leave nothing).
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "daemon/protocol/error.h"
#include "daemon/supervisor/host_trial.h"
#include "daemon/supervisor/io/timer.h"
#include "daemon/supervisor/managed_sandbox.h"
#include "daemon/supervisor/plugin_info.h"

namespace rtd::supervisor {

class daemon;
class managed_task;

struct replacement_request {
  std::string plugin;
  std::string path;                   // empty: the configured one, where another file lies by now
  std::chrono::nanoseconds watch{0};  // how long the new version is watched
};

class plugin_replacement {
 public:
  using answer = std::function<void(const nlohmann::json*, const protocol::rpc_error*)>;

  /// `answered` is told the outcome, once. `ended` follows; it may destroy this object from the loop.
  plugin_replacement(daemon& of, replacement_request what, answer answered, std::function<void()> ended);
  ~plugin_replacement();
  plugin_replacement(const plugin_replacement&) = delete;
  plugin_replacement& operator=(const plugin_replacement&) = delete;

  /// @throws protocol::rpc_error when there is nothing to replace, or nothing to replace it by
  void begin();
  /// The host of a sandbox has ended, and was not told to.
  void host_ended(const std::string& sandbox);
  const std::string& plugin() const noexcept { return request_.plugin; }

 private:
  enum class step : std::uint8_t { trying, quiescing, switching, watching, committing, going_back, over };
  struct site {
    std::string sandbox;
    bool in_place = false;  // in the same host
    pid_t host = -1;
    plugin_info former_version;
    plugin_info next_version;
    std::unique_ptr<managed_sandbox> next;    // the new host, until it is in force
    std::unique_ptr<managed_sandbox> former;  // the old host, from then on
    bool switched = false;
    bool unloaded = false;
    std::string kept_because;
  };

  managed_sandbox* sandbox_of(const site& one) const;
  void next_trial();
  void load_all();
  void load_in_place(site& one, const std::function<void()>& done);
  void look_at_new_hosts();
  void loaded();
  void quiesce();
  bool is_busy() const;
  void stop_tasks(const std::function<void()>& done);
  void switch_over();
  void watch();
  void look_at_tasks();
  void commit();
  void fail(const std::string& why);
  void go_back();
  void start_again();
  void wait_for_old_tasks();
  void finish(const protocol::rpc_error* error);
  bool concerns(const site& one, const managed_task& task) const;
  std::function<void()> join(std::function<void()> then);
  nlohmann::json result() const;

  daemon& daemon_;
  replacement_request request_;
  answer answered_;
  std::function<void()> ended_;
  std::string former_path_;
  step step_ = step::trying;
  std::vector<site> sites_;
  std::size_t tried_ = 0;
  std::unique_ptr<host_trial> trial_;
  std::vector<std::string> tasks_;       // that are moved
  std::vector<std::uint64_t> restarts_;  // of each, when the new version was started
  std::string failure_;
  timer timer_;
  clock::time_point step_deadline_{};
  std::optional<clock::time_point> settled_;  // since when all tasks run the new version
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace rtd::supervisor
