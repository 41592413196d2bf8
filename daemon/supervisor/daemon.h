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
#include "daemon/supervisor/services.h"
#include "daemon/supervisor/task_table.h"

namespace rtd::supervisor {

class reload_operation;

struct daemon_options {
  std::string config_file;  // absolute
  std::string runtime_dir;  // empty: the configuration's socket path as it is
  std::string state_dir;    // empty: crash reports are not saved
  std::optional<config::log_level> level;
  std::optional<config::log_format> format;
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

  // For the reload, once it is decided.
  void adopt(config::config next);
  void replace_http(std::unique_ptr<http_front> next);
  std::unique_ptr<http_front> make_http(const config::http_section& section);
  managed_sandbox& make_sandbox(const std::string& name);
  /// The plugins that a sandbox loads at its start: those of its tasks; "default" loads those of no task as well.
  static std::map<std::string, std::string> plugins_of(const config::config& which, const std::string& sandbox);
  static std::string host_binary(const config::config& which);

 private:
  void signalled(int number);
  void apply_log_section(bool replace_writer);
  void measure_lag();
  void feed_watchdog();
  void tell_ready();
  void update_status();
  void finish_shut_down();
  void reload_ended(bool good);

  services with_;
  daemon_options options_;
  config::config config_;
  std::uint64_t generation_ = 1;
  std::chrono::system_clock::time_point loaded_at_ = std::chrono::system_clock::now();
  clock::time_point began_ = clock::now();
  metrics::config_figures config_figures_;
  metrics::histogram loop_lag_{metrics::latency_bounds()};

  metrics_page page_{*this};
  task_table tasks_;
  sandbox_map sandboxes_;
  control_server control_;
  std::unique_ptr<http_front> http_;
  std::unique_ptr<signals> signals_;
  std::unique_ptr<reload_operation> reload_;
  bool reload_again_ = false;  // SIGHUP came during a reload
  timer lag_timer_;
  timer watchdog_timer_;
  timer ready_timer_;
  bool told_ready_ = false;
  bool stopping_ = false;
  std::size_t ending_ = 0;  // sandboxes that are still being stopped
};

}  // namespace rtd::supervisor
