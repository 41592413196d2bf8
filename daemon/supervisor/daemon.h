// The supervisor as a whole: the configuration in force, the sandboxes and tasks that follow from it, and the doors to
// the outside (control socket, HTTP, signals, the service manager).
//
// It is the only process that decides anything, and it never runs a plugin's code, never maps a plugin's file and never
// parses one: all that is left to hosts, whose words are checked where they come in (host_process.h).
//
// Invariants:
//   1. Everything happens on one loop; nothing blocks it for longer than a fork and exec or reading a small file.
//   2. `configuration()` is always a configuration that was found good as a whole. A reload replaces it in one step,
//      after all that could be tried beforehand was tried (reload.h).
//   3. Every sandbox of the configuration exists, and every task of it; what runs besides was started by hand.
// Rejected: a thread for each client or host (locks around all the state for a load of some hundred messages a second),
// hosts that outlive the supervisor (orphans are the classic bug of daemons of this kind).
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/config/config.h"
#include "daemon/metrics/snapshot.h"
#include "daemon/supervisor/call.h"
#include "daemon/supervisor/control_server.h"
#include "daemon/supervisor/http_front.h"
#include "daemon/supervisor/io/signals.h"
#include "daemon/supervisor/managed_sandbox.h"
#include "daemon/supervisor/metrics_page.h"
#include "daemon/supervisor/passed_sockets.h"
#include "daemon/supervisor/services.h"
#include "daemon/supervisor/state_store.h"
#include "daemon/supervisor/task_table.h"

namespace rtd::supervisor {

class plugin_replacement;
struct replacement_request;
class reload_operation;

struct daemon_options {
  std::string config_file;  // absolute
  std::string runtime_dir;  // empty: the configuration's socket path as it is
  std::string state_dir;    // empty: neither the state nor crash reports are saved
  std::optional<config::log_level> level;
  std::optional<config::log_format> format;
  passed_sockets passed;  // sockets that listen already
};

/// One thing that must be well for the daemon to be ready.
struct readiness_check {
  std::string name;
  bool ok = false;
  std::string detail;
};

/// The daemon cannot start. what() says why and what to do.
class start_error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class daemon {
 public:
  using sandbox_map = std::map<std::string, std::unique_ptr<managed_sandbox>, std::less<>>;

  daemon(services with, daemon_options options, config::config initial);
  ~daemon();
  daemon(const daemon&) = delete;
  daemon& operator=(const daemon&) = delete;

  /// Opens the control socket and HTTP, starts the sandboxes and their tasks. @throws start_error
  void start();
  /// Ends all hosts (a second call: at once), closes the doors and stops the loop.
  void shut_down(const std::string& why);
  bool stopping() const noexcept { return stopping_; }

  services& with() noexcept { return with_; }
  const daemon_options& options() const noexcept { return options_; }
  const config::config& configuration() const noexcept { return config_; }
  std::uint64_t generation() const noexcept { return generation_; }
  sandbox_map& sandboxes() noexcept { return sandboxes_; }
  task_table& tasks() noexcept { return tasks_; }
  control_server& control() noexcept { return control_; }
  http_front* http() noexcept { return http_.get(); }
  const metrics::config_figures& config_figures() const noexcept { return config_figures_; }
  const metrics::histogram& loop_lag() const noexcept { return loop_lag_; }
  std::chrono::system_clock::time_point loaded_at() const noexcept { return loaded_at_; }
  double uptime_seconds() const;
  /// Null without a state folder.
  const state_store* state() const noexcept { return state_.get(); }
  /// Writes the state file now. `done` is told when the disk has it, or what is wrong. Needs a state folder.
  void save_state(state_store::save_done done);

  /// @throws protocol::rpc_error (not_found)
  managed_sandbox& sandbox(std::string_view name);
  std::vector<readiness_check> checks();
  bool ready();

  /// Reads the configuration file as a reload would, with the command line's overrides applied.
  config::load_result load_configuration() const;
  /// Starts a reload. `done` gets the answer of config.reload, or the error.
  /// @throws protocol::rpc_error (busy, conflict)
  using reload_done = std::function<void(const nlohmann::json*, const protocol::rpc_error*)>;
  void reload(bool wait, std::optional<std::uint64_t> expected_generation, reload_done done);

  /// Starts the replacement of a plugin. `done` gets the answer of plugin.replace, or the error.
  /// @throws protocol::rpc_error (busy, and what plugin_replacement::begin says)
  void replace_plugin(const replacement_request& what, reload_done done);
  /// By plugin: replaced, failed.
  const std::map<std::string, metrics::count_map>& replacements() const noexcept { return replacements_; }

  // For a replacement.
  /// A sandbox of that name which is not in force: its tasks are another's.
  std::unique_ptr<managed_sandbox> new_sandbox(const std::string& name, std::map<std::string, std::string> plugins);
  /// Puts it in force; returns the one that was.
  std::unique_ptr<managed_sandbox> replace_sandbox(const std::string& name, std::unique_ptr<managed_sandbox> next);
  /// Ends the host of one that is not in force.
  void dismiss_sandbox(std::unique_ptr<managed_sandbox> which);
  /// Where the plugin is loaded from, until the next reload.
  void set_plugin_path(const std::string& plugin, const std::string& path);
  void count_replacement(const std::string& plugin, bool good);

  // For the reload, once it is decided.
  void adopt(config::config next);
  void replace_http(std::unique_ptr<http_front> next);
  std::unique_ptr<http_front> make_http(const config::http_section& section, sandbox::descriptor passed = {});
  managed_sandbox& make_sandbox(const std::string& name);
  /// The plugins that a sandbox loads at its start: those of its tasks; "default" loads those of no task as well.
  static std::map<std::string, std::string> plugins_of(const config::config& which, const std::string& sandbox);
  static std::string host_binary(const config::config& which);

 private:
  void signalled(int number);
  void restore_tasks();
  void start_kept_tasks();
  void state_changed();
  nlohmann::json state_content() const;
  void apply_log_section(bool replace_writer);
  void measure_lag();
  void feed_watchdog();
  void tell_ready();
  void update_status();
  void end_hosts();
  void finish_shut_down();
  void reload_ended(bool good);
  void replacement_ended();
  bool is_in_force(const managed_sandbox& which) const;

  services with_;
  daemon_options options_;
  config::config config_;
  std::uint64_t generation_ = 1;
  std::chrono::system_clock::time_point loaded_at_ = std::chrono::system_clock::now();
  clock::time_point began_ = clock::now();
  metrics::config_figures config_figures_;
  metrics::histogram loop_lag_{metrics::latency_bounds()};

  metrics_page page_{*this};
  std::unique_ptr<state_store> state_;
  std::vector<std::string> kept_;  // tasks that the former daemon ran and that are to run again
  timer state_timer_;              // runs while changes wait to be saved
  task_table tasks_;
  sandbox_map sandboxes_;
  control_server control_;
  std::unique_ptr<http_front> http_;
  std::unique_ptr<signals> signals_;
  std::unique_ptr<reload_operation> reload_;
  bool reload_again_ = false;  // SIGHUP came during a reload or a replacement
  std::unique_ptr<plugin_replacement> replacement_;
  std::map<std::string, metrics::count_map> replacements_;
  std::vector<std::unique_ptr<managed_sandbox>> dismissed_;
  timer lag_timer_;
  timer watchdog_timer_;
  timer ready_timer_;
  bool told_ready_ = false;
  bool stopping_ = false;
  bool hosts_ending_ = false;  // after the tasks that have an order were ended
  bool hosts_ended_ = false;
  std::size_t ending_ = 0;  // sandboxes that are still being stopped
};

}  // namespace rtd::supervisor
