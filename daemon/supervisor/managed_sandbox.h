// A sandbox: the host that it has, the plugins in it, and its coming back when it dies.
//
//            start()                 configured, plugins tried
//   down ───────────────▶ starting ───────────────────────────▶ up
//    ▲                     │   ▲ delay over                      │
//    │ stop(), policy      │   │                                 │ the host ended
//    └──────── stopping ◀──┼── backoff ◀─────────────────────────┘
//                          └─▶ fatal (restarts used up, or host and supervisor do not fit together)
//
// Invariants:
//   1. Plugins are loaded one after the other, so a host that dies or hangs during a load tells which plugin did it.
//      That plugin is refused until someone starts the sandbox anew by hand or the configuration changes: one bad
//      plugin must not keep the others from running.
//   2. `up` is told after every plugin of the list was tried; `down` exactly once after each `up` or failed start.
//   3. A host that does not answer for `watchdog_timeout` is killed: its link is read by a plain thread, so no plugin
//      can keep it from answering except by harming the process.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/config/config.h"
#include "daemon/metrics/snapshot.h"
#include "daemon/supervisor/backoff.h"
#include "daemon/supervisor/group_watch.h"
#include "daemon/supervisor/host_lines.h"
#include "daemon/supervisor/host_process.h"
#include "daemon/supervisor/host_start.h"
#include "daemon/supervisor/plugin_info.h"
#include "daemon/supervisor/services.h"
#include "daemon/supervisor/violations.h"

namespace rtd::supervisor {

enum class sandbox_state : std::uint8_t { starting, up, backoff, stopping, down, fatal };
std::string_view to_string(sandbox_state state) noexcept;

/// What a host said about a task.
struct task_event {
  std::string task;
  std::string state;          // running, completed, failed, cancelled, stuck, deadlocked, limit
  std::string error;          // cleaned
  double cpu_seconds = 0;     // of the run, when it has ended
  std::string limit;          // of "limit": its key; cleaned
  bool has_accepted = false;  // any connection, when it has ended
};

class managed_sandbox {
 public:
  static constexpr std::chrono::seconds heartbeat_interval{2};
  static constexpr std::chrono::seconds watchdog_timeout{10};

  struct callbacks {
    std::function<void()> up;
    std::function<void(const host_end&)> down;
    std::function<void(const task_event&)> task;
  };
  using plugin_handler = std::function<void(const plugin_info&)>;

  managed_sandbox(services with, std::string name, config::sandbox settings, std::string host_binary,
                  callbacks on_event);
  ~managed_sandbox();
  managed_sandbox(const managed_sandbox&) = delete;
  managed_sandbox& operator=(const managed_sandbox&) = delete;

  const std::string& name() const noexcept { return name_; }
  sandbox_state state() const noexcept { return state_; }
  bool is_up() const noexcept { return state_ == sandbox_state::up; }
  const config::sandbox& settings() const noexcept { return settings_; }
  /// The host maps no code any more: other plugins need another host.
  bool is_sealed() const noexcept { return sealed_; }

  /// Which plugins it has to load, by name; takes hold at the next start. Forgets refusals of plugins that changed.
  void set_plugins(std::map<std::string, std::string> paths);
  /// Starts the host, if it has none.
  void start();
  /// Ends the host (its tasks get `grace` to end) and starts it anew, at once and with a clean slate. Settings given
  /// here replace the former ones. `reason` is manual, config or watchdog.
  void restart(std::string reason, std::string detail);
  /// Ends the host for good. `done` is called when it is gone.
  void stop(std::function<void()> done);
  /// Kills the host; it comes back by its policy.
  void kill(std::string reason, std::string detail);

  /// New settings. What can take hold in the running host does; the rest waits for restart().
  void configure(config::sandbox settings, std::string host_binary);

  /// Starts the host without isolation, notes for `length` what its plugins use, and starts it anew as it is
  /// configured. `done` gets the host's answer (daemon/host/learning.h), or null and what went wrong.
  using learn_handler = std::function<void(const nlohmann::json* learned, const std::string& problem)>;
  void learn(std::chrono::nanoseconds length, learn_handler done);

  /// Makes sure that a plugin is loaded (or refused); `done` is told either way. The sandbox must be up.
  void load_plugin(const std::string& plugin, const std::string& path, plugin_handler done);
  /// Whether something was done, and if not, why.
  using outcome_handler = std::function<void(bool good, const std::string& problem)>;
  /// Removes a plugin from the host, if nothing refers to it.
  void unload_plugin(const std::string& plugin, outcome_handler done);
  /// The plugins that were tried, by name.
  const std::map<std::string, plugin_info>& plugins() const noexcept { return plugins_; }

  // Several versions of a plugin in one host (plugin_versions.cpp).
  /// Whether the running host can load the file.
  bool can_load(const std::string& path) const;
  /// Loads another version beside the one that is loaded; no task is started from it yet. `done` gets what it is, or
  /// why it is refused.
  void load_beside(const std::string& plugin, const std::string& path, plugin_handler done);
  /// Tasks are started from that version from now on; the one before becomes one of the others.
  void use_version(const plugin_info& version, outcome_handler done);
  /// Unloads one of the others, if nothing refers to it; else it stays, and its `error` says why.
  void unload_version(const std::string& plugin, std::int64_t number, outcome_handler done);
  /// What is loaded beside plugins(): versions on their way in or out.
  const std::vector<plugin_info>& other_versions() const noexcept { return other_versions_; }

  /// Asks the host. Fails with "unavailable" when the sandbox is not up.
  void request(std::string_view method, nlohmann::json params, std::chrono::nanoseconds timeout,
               host_process::answer_handler done, std::vector<sandbox::descriptor> with = {});

  /// How long an answer for people waits for fresh figures of a host; the last ones do then.
  static constexpr std::chrono::milliseconds figures_patience{300};
  /// Gets the host's statistics; `done(true)` when they came within `timeout`. Many callers share one request.
  void refresh(std::chrono::nanoseconds timeout, std::function<void(bool)> done);
  /// The last statistics of the running host, or null.
  const metrics::host_snapshot* statistics() const noexcept { return statistics_ ? &*statistics_ : nullptr; }
  /// A task's run has ended: what was known about it is not to be taken for the next run's.
  void forget_figures_of(std::string_view task);

  /// As `sandbox.list` answers it.
  nlohmann::json to_json() const;
  /// For /metrics; tasks are the caller's.
  metrics::sandbox_snapshot snapshot() const;
  std::uint64_t restarts() const noexcept { return restarts_; }
  pid_t pid() const noexcept { return host_ ? host_->pid() : -1; }
  /// Seconds until the next start, 0 when none is waited for.
  double backoff_seconds() const;
  /// Why it is not up, in words.
  std::string trouble() const;

 private:
  enum class after_end : std::uint8_t { by_policy, restart, stop };
  struct refresh_waiter {
    std::function<void(bool)> done;
    std::unique_ptr<timer> deadline;
  };

  void launch();
  void configured(const host_answer& answer);
  void load_next();
  void seal();
  void note_missing();
  void end_learning(const nlohmann::json* learned, const std::string& problem);
  void came_up();
  bool sees(const std::string& path) const;
  void try_plugin(const std::string& plugin, const std::string& path, plugin_handler done);
  void record_plugin(plugin_info info);
  void blame_plugin(const host_end& end);
  void decide(const host_end& end, std::chrono::nanoseconds ran);
  void ended(host_end end);
  void host_event(const nlohmann::json& event);
  void heartbeat();
  void send_statistics_request();
  void statistics_answered(const host_answer& answer);
  void answer_refreshes(bool good);
  void look_at_group(const sandbox::group_counts& counts);
  void end_gracefully(std::string reason, std::string detail);
  void flush_stop_waiters();

  services with_;
  std::string name_;
  config::sandbox settings_;
  std::string host_binary_;
  callbacks callbacks_;

  sandbox_state state_ = sandbox_state::down;
  std::unique_ptr<host_process> host_;
  after_end after_ = after_end::by_policy;
  std::vector<std::function<void()>> stop_waiters_;
  backoff backoff_;
  timer restart_timer_;
  timer stop_timer_;
  timer heartbeat_timer_;
  host_lines lines_;
  std::string fatal_reason_;

  std::map<std::string, std::string> wanted_plugins_;
  std::map<std::string, std::string> plugins_at_start_;
  std::set<std::string> folders_at_start_;  // that its host sees all of
  std::vector<std::string> to_load_;        // names, last one next
  std::string loading_;                     // the plugin that the host is loading now
  std::map<std::string, int> deaths_in_load_;
  std::map<std::string, plugin_info> plugins_;
  std::vector<plugin_info> other_versions_;
  std::map<std::string, metrics::count_map> plugin_loads_;

  std::optional<metrics::host_snapshot> statistics_;
  std::chrono::system_clock::time_point statistics_at_{};
  std::optional<clock::time_point> statistics_asked_;  // while an answer is waited for
  std::vector<std::string> ended_while_asked_;         // tasks that have ended since then
  bool suspected_ = false;                             // the answer was late at the last heartbeat
  bool statistics_bad_ = false;                        // the last answer was no good; said once
  std::vector<refresh_waiter> refreshes_;

  std::uint64_t starts_ = 0;
  std::uint64_t restarts_ = 0;
  metrics::count_map restarts_by_reason_;
  metrics::histogram setup_duration_{metrics::duration_bounds()};
  host_layers layers_;
  bool sealed_ = false;
  violations violations_;
  group_watch group_watch_;
  learn_handler learner_;  // while it is being learned what the plugins use
  std::chrono::nanoseconds learn_length_{};
  timer learn_timer_;
  std::optional<host_end> last_end_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace rtd::supervisor
