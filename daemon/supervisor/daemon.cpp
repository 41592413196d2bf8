#include "daemon/supervisor/daemon.h"

#include <signal.h>

#include <filesystem>
#include <utility>

#include "daemon/config/endpoint.h"
#include "daemon/protocol/error.h"
#include "daemon/protocol/text.h"
#include "daemon/protocol/version.h"
#include "daemon/supervisor/crash_store.h"
#include "daemon/supervisor/methods.h"
#include "daemon/supervisor/reload.h"
#include "daemon/supervisor/service_manager.h"

namespace rtd::supervisor {
namespace {

using namespace std::chrono_literals;
using protocol::error_kind;
using protocol::rpc_error;

constexpr std::string_view default_socket = "/run/rtd/control.sock";
constexpr std::chrono::seconds ready_patience{30};
constexpr std::chrono::milliseconds lag_interval{500};

log_level level_of(config::log_level level) {
  switch (level) {
    case config::log_level::debug:
      return log_level::debug;
    case config::log_level::info:
      return log_level::info;
    case config::log_level::warn:
      return log_level::warn;
    case config::log_level::error:
      return log_level::error;
  }
  return log_level::info;
}

log_format format_of(config::log_format format) {
  switch (format) {
    case config::log_format::automatic:
      return detect_log_format();
    case config::log_format::text:
      return log_format::text;
    case config::log_format::json:
      return log_format::json;
    case config::log_format::journald:
      return log_format::journal;
  }
  return log_format::text;
}

double unix_seconds(std::chrono::system_clock::time_point when) {
  return std::chrono::duration<double>(when.time_since_epoch()).count();
}

void apply_overrides(config::config& to, const daemon_options& options) {
  if (options.level) to.log.level = *options.level;
  if (options.format) to.log.format = *options.format;
  if (!options.runtime_dir.empty() && to.control.socket == default_socket)
    to.control.socket = options.runtime_dir + "/control.sock";
}

config::config with_overrides(config::config from, const daemon_options& options) {
  apply_overrides(from, options);
  return from;
}

}  // namespace

daemon::daemon(services with, daemon_options options, config::config initial)
    : with_(with),
      options_(std::move(options)),
      config_(with_overrides(std::move(initial), options_)),
      tasks_(with_, {[this](const std::string& name) -> managed_sandbox* {
                       const auto found = sandboxes_.find(name);
                       return found == sandboxes_.end() ? nullptr : found->second.get();
                     },
                     [this](const std::string& plugin) {
                       const auto found = config_.plugins.find(plugin);
                       return found == config_.plugins.end() ? std::string() : found->second.path;
                     }}),
      control_(with_, config_.control),
      lag_timer_(with_.events_loop),
      watchdog_timer_(with_.events_loop),
      ready_timer_(with_.events_loop) {
  config_figures_.generation = generation_;
  config_figures_.last_reload_success_timestamp_seconds = unix_seconds(loaded_at_);
  config_figures_.reloads_total = {{"success", 0}, {"failure", 0}};
  register_methods(control_, *this);
}

daemon::~daemon() = default;

// ---- start and end ----

void daemon::start() {
  apply_log_section(true);
  with_.events.add(log_level::info, "daemon_started", {}, {},
                   "rtd " + std::string(protocol::version()) + " starts with " + options_.config_file);
  try {
    control_.listen();
    http_ = make_http(config_.http);
  } catch (const std::logic_error&) {
    throw;
  } catch (const std::exception& error) {
    throw start_error(error.what());
  }
  with_.lines.info("control socket: " + config_.control.socket);
  if (http_) with_.lines.info("http: http://" + http_->address() + "/metrics");

  signals_ = std::make_unique<signals>(with_.events_loop, std::initializer_list<int>{SIGTERM, SIGINT, SIGHUP},
                                       [this](int number) { signalled(number); });
  for (const auto& [name, settings] : config_.sandboxes) make_sandbox(name);
  for (const auto& [name, spec] : config_.tasks) tasks_.add(name, spec, true, spec.autostart);
  for (const auto& [name, sandbox] : sandboxes_) sandbox->start();

  feed_watchdog();
  measure_lag();
  tell_ready();
}

void daemon::shut_down(const std::string& why) {
  if (std::exchange(stopping_, true)) {
    with_.lines.warn("told to stop again: the hosts are killed");
    for (const auto& [name, sandbox] : sandboxes_) sandbox->kill("manual", "the daemon was told twice to stop");
    return;
  }
  with_.lines.info("stops: " + why);
  service_manager::stopping();
  ending_ = sandboxes_.size();
  for (const auto& [name, sandbox] : sandboxes_)
    sandbox->stop([this] {
      if (--ending_ == 0) finish_shut_down();
    });
  if (ending_ == 0) finish_shut_down();
}

void daemon::finish_shut_down() {
  // Answers that were just given (to `shutdown`, to task.wait) get a moment to leave.
  ready_timer_.start(50ms, [this] {
    reload_.reset();
    control_.close();
    with_.lines.info("stopped");
    if (!http_) return with_.events_loop.stop();
    http_->stop([this] { with_.events_loop.stop(); });
  });
}

void daemon::signalled(int number) {
  if (number != SIGHUP) return shut_down(number == SIGTERM ? "SIGTERM" : "SIGINT");
  if (reload_) {
    reload_again_ = true;
    return;
  }
  try {
    reload(true, std::nullopt, [](const nlohmann::json*, const rpc_error*) {});
  } catch (const rpc_error& error) {
    with_.lines.warn(std::string("SIGHUP: ") + error.what());
  }
}

// ---- parts ----

std::string daemon::host_binary(const config::config& which) {
  if (!which.host_binary.empty()) return which.host_binary;
  namespace fs = std::filesystem;
  std::error_code error;
  const fs::path folder = fs::read_symlink("/proc/self/exe", error).parent_path();
  const fs::path beside = folder / "rtd-host";
  if (fs::exists(beside, error)) return beside.string();
  const fs::path installed = folder.parent_path() / "libexec" / "rtd" / "rtd-host";
  return fs::exists(installed, error) ? installed.string() : beside.string();
}

std::map<std::string, std::string> daemon::plugins_of(const config::config& which, const std::string& sandbox) {
  std::map<std::string, std::string> result;
  std::map<std::string, std::string> unused;
  for (const auto& [name, plugin] : which.plugins) unused[name] = plugin.path;
  for (const auto& [name, task] : which.tasks) {
    unused.erase(task.plugin);
    if (task.sandbox == sandbox)
      if (const auto plugin = which.plugins.find(task.plugin); plugin != which.plugins.end())
        result[plugin->first] = plugin->second.path;
  }
  if (sandbox == "default") result.merge(unused);
  return result;
}

managed_sandbox& daemon::make_sandbox(const std::string& name) {
  managed_sandbox::callbacks on_event;
  on_event.up = [this, name] {
    tasks_.sandbox_up(*sandboxes_.at(name));
    update_status();
  };
  on_event.down = [this, name](const host_end& end) {
    if (!end.crash.is_null() && !options_.state_dir.empty()) {
      try {
        with_.lines.info("crash report: " + save_crash_report(options_.state_dir, name, end));
      } catch (const std::exception& error) {
        with_.lines.error(std::string("the crash report is not saved: ") + error.what());
      }
    }
    tasks_.sandbox_down(*sandboxes_.at(name), end);
    update_status();
  };
  on_event.task = [this, name](const task_event& told) { tasks_.task_told(*sandboxes_.at(name), told); };
  auto made = std::make_unique<managed_sandbox>(with_, name, config_.sandboxes.at(name), host_binary(config_),
                                                std::move(on_event));
  made->set_plugins(plugins_of(config_, name));
  return *(sandboxes_[name] = std::move(made));
}

std::unique_ptr<http_front> daemon::make_http(const config::http_section& section) {
  if (!section.listen) return nullptr;
  http_front::pages pages;
  pages.metrics = [this](std::function<void(std::string)> done) { page_.make(std::move(done)); };
  pages.readiness = [this] { return checks(); };
  auto front = std::make_unique<http_front>(with_.events_loop, with_.lines, std::move(pages), page_.http_figures());
  front->listen(config::format_endpoint(*section.listen));
  return front;
}

void daemon::replace_http(std::unique_ptr<http_front> next) {
  std::shared_ptr<http_front> former = std::move(http_);
  http_ = std::move(next);
  if (!former) return;
  page_.keep_counts(*former);
  former->stop([former, this] { with_.events_loop.post([former] {}); });
}

managed_sandbox& daemon::sandbox(std::string_view name) {
  const auto found = sandboxes_.find(name);
  if (found != sandboxes_.end()) return *found->second;
  throw rpc_error(error_kind::not_found, "there is no sandbox \"" + std::string(name) + "\"",
                  {{"hint", "sandbox.list lists the sandboxes"}});
}

// ---- how it stands ----

double daemon::uptime_seconds() const { return std::chrono::duration<double>(clock::now() - began_).count(); }

std::vector<readiness_check> daemon::checks() {
  std::vector<readiness_check> result;
  result.push_back({"config", true, "generation " + std::to_string(generation_)});
  if (stopping_) result.push_back({"daemon", false, "is stopping"});
  for (const auto& [name, sandbox] : sandboxes_)
    result.push_back({"sandbox-" + name, sandbox->is_up(), sandbox->is_up() ? "up" : sandbox->trouble()});
  for (const auto& [name, task] : tasks_.all()) {
    if (!task->configured || !task->spec.autostart) continue;
    // A task that an operator stopped by hand is as they want it.
    const bool ok = task->state == task_state::running || task->state == task_state::completed ||
                    task->state == task_state::stopped;
    std::string detail(to_string(task->state));
    if (!ok && !task->history.empty()) detail += ": " + task->history.back().message;
    result.push_back({"task-" + name, ok, std::move(detail)});
  }
  return result;
}

bool daemon::ready() {
  for (const auto& check : checks())
    if (!check.ok) return false;
  return true;
}

void daemon::tell_ready() {
  // The daemon is up once every sandbox has been tried: a service manager that waits for us starts others after that.
  bool tried = clock::now() - began_ > ready_patience;
  if (!tried) {
    tried = true;
    for (const auto& [name, sandbox] : sandboxes_) tried = tried && sandbox->state() != sandbox_state::starting;
  }
  if (!tried) return ready_timer_.start(20ms, [this] { tell_ready(); });
  told_ready_ = true;
  service_manager::ready();
  update_status();
}

void daemon::update_status() {
  if (!told_ready_ || stopping_) return;
  std::size_t up = 0;
  for (const auto& [name, sandbox] : sandboxes_) up += sandbox->is_up() ? 1 : 0;
  service_manager::status(std::to_string(up) + " of " + std::to_string(sandboxes_.size()) + " sandboxes up, " +
                          std::to_string(tasks_.all().size()) + " tasks");
}

void daemon::measure_lag() {
  const auto due = clock::now() + lag_interval;
  lag_timer_.start(lag_interval, [this, due] {
    loop_lag_.observe(std::max(0.0, std::chrono::duration<double>(clock::now() - due).count()));
    measure_lag();
  });
}

void daemon::feed_watchdog() {
  const auto interval = service_manager::watchdog_interval();
  if (!interval) return;
  // That this runs is the proof: it comes from the loop that does everything else.
  service_manager::alive();
  watchdog_timer_.start(*interval / 3, [this] { feed_watchdog(); });
}

// ---- configuration ----

void daemon::apply_log_section(bool replace_writer) {
  with_.lines.set_level(level_of(config_.log.level));
  if (replace_writer) with_.lines.replace_writer(make_log_writer(format_of(config_.log.format)));
}

config::load_result daemon::load_configuration() const {
  config::load_result result = config::load_file(options_.config_file);
  if (result.value) apply_overrides(*result.value, options_);
  return result;
}

void daemon::reload(bool wait, std::optional<std::uint64_t> expected_generation, reload_done done) {
  if (stopping_) throw rpc_error(error_kind::invalid_state, "the daemon is stopping");
  if (reload_) throw rpc_error(error_kind::busy, "a reload is under way", {{"hint", "try again when it is done"}});
  if (expected_generation && *expected_generation != generation_)
    throw rpc_error(error_kind::conflict,
                    "the configuration has generation " + std::to_string(generation_) + " by now, not " +
                        std::to_string(*expected_generation),
                    {{"generation", generation_}, {"hint", "look at it again with config.show"}});
  service_manager::reloading();
  reload_ = std::make_unique<reload_operation>(*this, wait, std::move(done), [this](bool good) { reload_ended(good); });
  reload_->begin();
}

void daemon::reload_ended(bool good) {
  ++config_figures_.reloads_total[good ? "success" : "failure"];
  config_figures_.last_reload_successful = good;
  if (good) config_figures_.last_reload_success_timestamp_seconds = unix_seconds(std::chrono::system_clock::now());
  service_manager::ready();
  update_status();
  // The operation is in the middle of a call of its own.
  with_.events_loop.post([this] {
    reload_.reset();
    if (std::exchange(reload_again_, false)) signalled(SIGHUP);
  });
}

void daemon::adopt(config::config next) {
  const bool other_log = next.log.format != config_.log.format;
  config_ = std::move(next);
  ++generation_;
  loaded_at_ = std::chrono::system_clock::now();
  config_figures_.generation = generation_;
  apply_log_section(other_log);
  for (const auto& [name, sandbox] : sandboxes_)
    sandbox->request("set", {{"log_level", to_string(with_.lines.level())}}, 5s, [](const host_answer&) {});
}

}  // namespace rtd::supervisor
