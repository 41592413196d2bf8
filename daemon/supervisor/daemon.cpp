#include "daemon/supervisor/daemon.h"

#include <signal.h>

#include <filesystem>
#include <utility>

#include "daemon/config/endpoint.h"
#include "daemon/protocol/error.h"
#include "daemon/protocol/fields.h"
#include "daemon/protocol/text.h"
#include "daemon/protocol/version.h"
#include "daemon/supervisor/crash_store.h"
#include "daemon/supervisor/methods.h"
#include "daemon/supervisor/plugin_replacement.h"
#include "daemon/supervisor/reload.h"
#include "daemon/supervisor/service_manager.h"
#include "daemon/supervisor/task_record.h"

namespace rtd::supervisor {
namespace {

using namespace std::chrono_literals;
using protocol::error_kind;
using protocol::rpc_error;

constexpr std::string_view default_socket = "/run/rtd/control.sock";
constexpr std::chrono::seconds ready_patience{30};
constexpr std::chrono::milliseconds lag_interval{500};
// Changes of half a second are one write: a task that crashes in a row must not keep the disk busy. What a client was
// told to be kept does not wait for it.
constexpr std::chrono::milliseconds state_delay{500};

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
      state_timer_(with_.events_loop),
      tasks_(with_, {[this](const std::string& name) -> managed_sandbox* {
                       const auto found = sandboxes_.find(name);
                       return found == sandboxes_.end() ? nullptr : found->second.get();
                     },
                     [this](const std::string& plugin) {
                       const auto found = config_.plugins.find(plugin);
                       return found == config_.plugins.end() ? std::string() : found->second.path;
                     },
                     [this] { state_changed(); }, [this] { return stopping_; }}),
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
    // First: whoever shares its state folder with another rtd must not touch that one's sockets either.
    if (!options_.state_dir.empty()) state_ = std::make_unique<state_store>(with_, options_.state_dir);
    control_.listen(options_.passed.take_control(config_.control.socket));
    const auto& address = config_.http.listen;
    http_ = make_http(config_.http, options_.passed.take_metrics(address ? config::format_endpoint(*address) : ""));
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
  for (const auto& [name, spec] : config_.tasks) tasks_.add(name, spec, true, false);
  restore_tasks();
  start_kept_tasks();
  // At once: the file that was read says that its daemon had stopped, and this one runs.
  if (state_) save_state(nullptr);
  for (const auto& [name, sandbox] : sandboxes_) sandbox->start();

  feed_watchdog();
  measure_lag();
  tell_ready();
}

void daemon::shut_down(const std::string& why) {
  if (std::exchange(stopping_, true)) {
    with_.lines.warn("told to stop again: the hosts are killed");
    end_hosts();
    for (const auto& [name, sandbox] : sandboxes_) sandbox->kill("manual", "the daemon was told twice to stop");
    return;
  }
  with_.lines.info("stops: " + why);
  service_manager::stopping();
  tasks_.stop_in_order([this] { end_hosts(); });
}

void daemon::end_hosts() {
  if (std::exchange(hosts_ending_, true)) return;
  ending_ = sandboxes_.size();
  for (const auto& [name, sandbox] : sandboxes_)
    sandbox->stop([this] {
      if (--ending_ == 0) finish_shut_down();
    });
  if (ending_ == 0) finish_shut_down();
}

void daemon::finish_shut_down() {
  hosts_ended_ = true;
  // Who connects from here on is for the next daemon, if a service manager keeps the sockets for it. What was accepted
  // already, and answers that were just given (to `shutdown`, to task.wait), get a moment.
  control_.stop_accepting();
  if (http_) http_->close_listeners();
  // Written before the store's end, which waits for it.
  if (state_) save_state(nullptr);
  ready_timer_.start(50ms, [this] {
    reload_.reset();
    replacement_.reset();
    control_.close();
    with_.lines.info("stopped");
    if (!http_) return with_.events_loop.stop();
    http_->stop([this] { with_.events_loop.stop(); });
  });
}

void daemon::signalled(int number) {
  if (number != SIGHUP) return shut_down(number == SIGTERM ? "SIGTERM" : "SIGINT");
  if (reload_ || replacement_) {
    reload_again_ = true;
    return;
  }
  try {
    reload(true, std::nullopt, [](const nlohmann::json*, const rpc_error*) {});
  } catch (const rpc_error& error) {
    with_.lines.warn(std::string("SIGHUP: ") + error.what());
  }
}

// ---- state ----

// Configured tasks get their histories back, tasks that somebody started by hand and asked to keep come back
// themselves.
void daemon::restore_tasks() {
  if (!state_) return;
  const nlohmann::json saved = state_->load();
  const bool clean = protocol::boolean_field(saved, "clean", false);
  const auto& records = protocol::member(saved, "tasks");
  if (!records.is_object()) return;
  for (const auto& [name, record] : records.items()) {
    managed_task* task = tasks_.find(name);
    std::string problem;
    if (task == nullptr && protocol::is_name(name))
      if (auto spec = saved_spec(name, record, problem)) task = &tasks_.add(name, std::move(*spec), false, false);
    if (!problem.empty())
      with_.lines.warn("task " + protocol::clean_text(name, 64) + " of the state file is forgotten: " + problem);
    if (task == nullptr) continue;
    restore_task(*task, record, clean);
    if (wants_start(record)) kept_.push_back(name);
  }
  with_.lines.info("state file: " + state_->file() + ", tasks: " + std::to_string(records.size()) +
                   (clean || records.empty() ? "" : "; the daemon that wrote it did not stop by itself"));
}

void daemon::start_kept_tasks() {
  for (const auto& [name, spec] : config_.tasks)
    if (spec.schedule)
      tasks_.plan(tasks_.get(name));
    else if (spec.autostart)
      tasks_.begin(tasks_.get(name));
  for (const auto& name : std::exchange(kept_, {})) {
    managed_task& task = tasks_.get(name);
    if (task.wanted) continue;
    with_.events.add(log_level::info, "task_kept", task.spec.sandbox, name,
                     "task " + name + " ran under the former daemon, was to be kept, and is started again");
    tasks_.start(task);
  }
}

nlohmann::json daemon::state_content() const {
  nlohmann::json tasks = nlohmann::json::object();
  for (const auto& [name, task] : tasks_.all())
    if (task->configured || task->keep) tasks[name] = save_task(*task);
  // `clean` says that nothing ran any more when this was written.
  return {{"clean", hosts_ended_}, {"version", protocol::version()}, {"tasks", std::move(tasks)}};
}

void daemon::save_state(state_store::save_done done) {
  state_timer_.cancel();
  state_->save(state_content(), std::move(done));
}

void daemon::state_changed() {
  // Until the file has been read, it must not be overwritten with less.
  if (!state_ || !signals_ || state_timer_.running()) return;
  state_timer_.start(state_delay, [this] { save_state(nullptr); });
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

bool daemon::is_in_force(const managed_sandbox& which) const {
  const auto found = sandboxes_.find(which.name());
  return found != sandboxes_.end() && found->second.get() == &which;
}

std::unique_ptr<managed_sandbox> daemon::new_sandbox(const std::string& name,
                                                     std::map<std::string, std::string> plugins) {
  // Known when the first of the calls comes.
  const auto self = std::make_shared<managed_sandbox*>(nullptr);
  managed_sandbox::callbacks on_event;
  on_event.up = [this, self] {
    if (!is_in_force(**self)) return;
    tasks_.sandbox_up(**self);
    update_status();
  };
  on_event.down = [this, self, name](const host_end& end) {
    if (!end.crash.is_null() && !options_.state_dir.empty()) {
      try {
        with_.lines.info("crash report: " + save_crash_report(options_.state_dir, name, end));
      } catch (const std::exception& error) {
        with_.lines.error(std::string("the crash report is not saved: ") + error.what());
      }
    }
    if (!is_in_force(**self)) return;
    tasks_.sandbox_down(**self, end);
    if (replacement_) replacement_->host_ended(name);
    update_status();
  };
  on_event.task = [this, self](const task_event& told) {
    if (is_in_force(**self)) tasks_.task_told(**self, told);
  };
  auto made = std::make_unique<managed_sandbox>(with_, name, config_.sandboxes.at(name), host_binary(config_),
                                                std::move(on_event));
  *self = made.get();
  made->set_plugins(std::move(plugins));
  return made;
}

managed_sandbox& daemon::make_sandbox(const std::string& name) {
  return *(sandboxes_[name] = new_sandbox(name, plugins_of(config_, name)));
}

std::unique_ptr<managed_sandbox> daemon::replace_sandbox(const std::string& name,
                                                         std::unique_ptr<managed_sandbox> next) {
  std::swap(sandboxes_.at(name), next);
  update_status();
  return next;
}

void daemon::dismiss_sandbox(std::unique_ptr<managed_sandbox> which) {
  managed_sandbox* const leaving = which.get();
  dismissed_.push_back(std::move(which));
  leaving->stop([this, leaving] {
    // It is in the middle of the call that led here.
    with_.events_loop.post(
        [this, leaving] { std::erase_if(dismissed_, [&](const auto& one) { return one.get() == leaving; }); });
  });
}

void daemon::set_plugin_path(const std::string& plugin, const std::string& path) {
  if (const auto found = config_.plugins.find(plugin); found != config_.plugins.end()) found->second.path = path;
}

void daemon::count_replacement(const std::string& plugin, bool good) {
  ++replacements_[plugin][good ? "replaced" : "failed"];
}

void daemon::replace_plugin(const replacement_request& what, reload_done done) {
  if (stopping_) throw rpc_error(error_kind::invalid_state, "the daemon is stopping");
  if (reload_) throw rpc_error(error_kind::busy, "a reload is under way", {{"hint", "try again when it is done"}});
  if (replacement_)
    throw rpc_error(error_kind::busy, "plugin \"" + replacement_->plugin() + "\" is being replaced",
                    {{"hint", "try again when it is done"}});
  auto made = std::make_unique<plugin_replacement>(*this, what, std::move(done), [this] { replacement_ended(); });
  made->begin();
  replacement_ = std::move(made);
}

void daemon::replacement_ended() {
  // The operation is in the middle of a call of its own.
  with_.events_loop.post([this] {
    replacement_.reset();
    if (std::exchange(reload_again_, false)) signalled(SIGHUP);
  });
}

std::unique_ptr<http_front> daemon::make_http(const config::http_section& section, sandbox::descriptor passed) {
  if (!section.listen) return nullptr;
  http_front::pages pages;
  pages.metrics = [this](std::function<void(std::string)> done) { page_.make(std::move(done)); };
  pages.readiness = [this] { return checks(); };
  auto front = std::make_unique<http_front>(with_.events_loop, with_.lines, std::move(pages), page_.http_figures());
  if (passed)
    front->adopt(std::move(passed));
  else
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
                    task->state == task_state::listening || task->state == task_state::stopped ||
                    // A job of the night that failed, or runs, is no reason to send the day's visitors away.
                    (task->spec.schedule && task->state != task_state::fatal);
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
  if (replacement_)
    throw rpc_error(error_kind::busy, "plugin \"" + replacement_->plugin() + "\" is being replaced",
                    {{"hint", "try again when it is done"}});
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
