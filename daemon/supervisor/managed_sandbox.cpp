#include "daemon/supervisor/managed_sandbox.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "daemon/protocol/error.h"
#include "daemon/protocol/fields.h"
#include "daemon/protocol/version.h"
#include "daemon/sandbox/plan.h"
#include "daemon/supervisor/host_start.h"
#include "daemon/supervisor/seconds_text.h"

namespace rtd::supervisor {
namespace {

using nlohmann::json;
using namespace std::chrono_literals;

constexpr int deaths_until_blame = 3;
constexpr double most_cpu_seconds = 1e12;  // that a host is believed

double seconds(std::chrono::nanoseconds length) { return std::chrono::duration<double>(length).count(); }

std::string folder_of(const std::string& file) { return std::filesystem::path(file).parent_path().string(); }

}  // namespace

std::string_view to_string(sandbox_state state) noexcept {
  switch (state) {
    case sandbox_state::starting:
      return "starting";
    case sandbox_state::up:
      return "up";
    case sandbox_state::backoff:
      return "backoff";
    case sandbox_state::stopping:
      return "stopping";
    case sandbox_state::down:
      return "down";
    case sandbox_state::fatal:
      return "fatal";
  }
  return "down";
}

managed_sandbox::managed_sandbox(services with, std::string name, config::sandbox settings, std::string host_binary,
                                 callbacks on_event)
    : with_(with),
      name_(std::move(name)),
      settings_(std::move(settings)),
      host_binary_(std::move(host_binary)),
      callbacks_(std::move(on_event)),
      backoff_(settings_.restart),
      restart_timer_(with.events_loop),
      stop_timer_(with.events_loop),
      heartbeat_timer_(with.events_loop),
      lines_(with, name_),
      violations_(with, name_),
      learn_timer_(with.events_loop) {}

managed_sandbox::~managed_sandbox() {
  *alive_ = false;
  // Whoever waits for statistics must not look at the sandbox while it goes.
  for (auto& waiter : refreshes_) with_.events_loop.post([done = std::move(waiter.done)] { done(false); });
}

void managed_sandbox::set_plugins(std::map<std::string, std::string> paths) {
  wanted_plugins_ = std::move(paths);
  std::erase_if(plugins_, [&](const auto& one) {
    const auto wanted = wanted_plugins_.find(one.first);
    return !one.second.loaded && (wanted == wanted_plugins_.end() || wanted->second != one.second.path);
  });
}

void managed_sandbox::configure(config::sandbox settings, std::string host_binary) {
  const bool tell = is_up() && settings.max_procs != settings_.max_procs;
  const bool collects_otherwise = is_up() && settings.gc != settings_.gc;
  settings_ = std::move(settings);
  host_binary_ = std::move(host_binary);
  backoff_.configure(settings_.restart);
  if (collects_otherwise)
    request("set", make_collector_params(settings_), 5s, [this](const host_answer& answer) {
      if (!answer.good()) with_.lines.warn("sandbox " + name_ + ": gc was not taken over: " + answer.message);
    });
  if (!tell) return;
  request("set", {{"max_procs", settings_.max_procs}}, 5s, [this](const host_answer& answer) {
    if (!answer.good()) with_.lines.warn("sandbox " + name_ + ": max_procs was not taken over: " + answer.message);
  });
}

// ---- learning ----

void managed_sandbox::learn(std::chrono::nanoseconds length, learn_handler done) {
  if (learner_) return done(nullptr, "it is being learned already what sandbox " + name_ + " uses");
  learner_ = std::move(done);
  learn_length_ = length;
  with_.lines.write(log_level::warn, "the sandbox runs without isolation while it is learned what its plugins use",
                    name_);
  restart("manual", "it is started to learn what its plugins use");
}

void managed_sandbox::end_learning(const json* learned, const std::string& problem) {
  learn_timer_.cancel();
  const learn_handler done = std::exchange(learner_, nullptr);
  if (is_up()) restart("manual", "its use is known");
  done(learned, problem);
}

// ---- starting ----

void managed_sandbox::start() {
  if (host_ != nullptr || state_ == sandbox_state::starting || state_ == sandbox_state::backoff) return;
  launch();
}

void managed_sandbox::launch() {
  restart_timer_.cancel();
  fatal_reason_.clear();
  sealed_ = false;
  layers_ = {};
  after_ = after_end::by_policy;
  state_ = sandbox_state::starting;
  ++starts_;
  plugins_at_start_ = wanted_plugins_;
  folders_at_start_.clear();
  for (const auto& [name, path] : wanted_plugins_)
    if (const std::string folder = folder_of(path); !settings_.isolation.seal && sandbox::host_may_enter(folder))
      folders_at_start_.insert(folder);
  // What loaded before is tried again; what ended or hung a host is not.
  std::erase_if(plugins_, [](const auto& one) {
    return one.second.error_kind != "plugin_crashed" && one.second.error_kind != "plugin_constructor_timeout";
  });
  try {
    host_ = std::make_unique<host_process>(
        with_.events_loop, make_launch_request(name_, settings_, host_binary_, wanted_plugins_, learner_ != nullptr),
        host_process::callbacks{[this](const json& event) { host_event(event); },
                                [this](bool is_error, std::string line) { lines_.output(is_error, std::move(line)); },
                                [this](host_end end) { ended(std::move(end)); }});
  } catch (const sandbox::launch_error& error) {
    if (dynamic_cast<const sandbox::layer_error*>(&error) != nullptr) fatal_reason_ = error.what();
    host_end end;
    end.reason = "exit";
    end.code = 126;
    end.detail = std::string("it could not be started: ") + error.what();
    end.at = std::chrono::system_clock::now();
    with_.events_loop.post([this, alive = alive_, end = std::move(end)] {
      if (*alive) ended(end);
    });
    return;
  }
  layers_ = {host_->layers(), host_->missing_layers()};
  // Said once: the next start of this sandbox would say the same.
  for (const auto& warning : host_->warnings())
    with_.lines.write(starts_ == 1 ? log_level::warn : log_level::debug, warning, name_);
  host_->request("host.configure", make_configure_params(name_, settings_, with_.lines.level()), configure_timeout,
                 [this](const host_answer& answer) { configured(answer); });
}

void managed_sandbox::configured(const host_answer& answer) {
  if (answer.error_kind == "unavailable") return;  // its end is on the way
  if (answer.error_kind == "timeout") return host_->kill("watchdog", answer.message);
  if (const std::string problem = configure_problem(answer, host_binary_); !problem.empty()) {
    // Another start would meet the same program.
    if (answer.good()) fatal_reason_ = problem;
    return host_->kill("protocol", problem);
  }
  if (const std::string problem = take_layers(answer.result, settings_, layers_); !problem.empty() && !learner_) {
    fatal_reason_ = problem;
    return host_->kill("protocol", problem);
  }
  note_missing();
  to_load_.clear();
  for (auto wanted = wanted_plugins_.rbegin(); wanted != wanted_plugins_.rend(); ++wanted)
    if (!plugins_.contains(wanted->first)) to_load_.push_back(wanted->first);
  load_next();
}

void managed_sandbox::load_next() {
  while (!to_load_.empty()) {
    const std::string plugin = to_load_.back();
    to_load_.pop_back();
    const auto wanted = wanted_plugins_.find(plugin);
    if (wanted == wanted_plugins_.end() || plugins_.contains(plugin)) continue;
    return try_plugin(plugin, wanted->second, [this](const plugin_info& info) {
      if (info.error_kind != "unavailable") load_next();
    });
  }
  seal();
}

void managed_sandbox::note_missing() {
  // Said once: the next start of this sandbox would say the same.
  const log_level level = starts_ == 1 ? log_level::warn : log_level::debug;
  if (settings_.isolation.mode == config::isolation_mode::none)
    with_.lines.write(
        level, "the sandbox is not isolated: its plugins may do what the daemon's user may (isolation.mode is none)",
        name_);
  for (const auto& layer : layers_.missing) with_.lines.write(level, sandbox::describe(layer), name_);
}

// What is loaded is all that will be: no code comes in any more.
void managed_sandbox::seal() {
  const config::isolation_settings& isolation = settings_.isolation;
  const bool can_be = std::find(layers_.active.begin(), layers_.active.end(), "seccomp") != layers_.active.end();
  if (!isolation.seal || !can_be || learner_ || state_ != sandbox_state::starting) return came_up();
  host_->request("seal", json::object(), configure_timeout, [this](const host_answer& answer) {
    if (answer.error_kind == "unavailable") return;  // its end is on the way
    if (answer.good()) {
      layers_.active.emplace_back("seccomp_sealed");
      sealed_ = true;
    } else if (settings_.isolation.mode == config::isolation_mode::strict) {
      fatal_reason_ = sandbox::describe({"seccomp_sealed", answer.message});
      return host_->kill("protocol", fatal_reason_);
    } else {
      layers_.missing.push_back({"seccomp_sealed", answer.message});
    }
    came_up();
  });
}

void managed_sandbox::came_up() {
  if (state_ != sandbox_state::starting) return;
  state_ = sandbox_state::up;
  setup_duration_.observe(seconds(clock::now() - host_->started()));
  with_.events.add(log_level::info, "sandbox_started", name_, {},
                   "sandbox " + name_ + " is up (pid " + std::to_string(host_->pid()) + ")", {{"pid", host_->pid()}});
  statistics_asked_.reset();
  suspected_ = false;
  heartbeat();
  if (learner_)
    learn_timer_.start(learn_length_, [this] {
      request("learned", json::object(), 5s, [this](const host_answer& answer) {
        if (learner_) end_learning(answer.good() ? &answer.result : nullptr, answer.message);
      });
    });
  if (callbacks_.up) callbacks_.up();
}

// ---- plugins ----

void managed_sandbox::try_plugin(const std::string& plugin, const std::string& path, plugin_handler done) {
  file_identity identity;
  try {
    identity = check_plugin_file(path, ::geteuid());
  } catch (const protocol::rpc_error& error) {
    plugin_info refused = refused_plugin(
        plugin, path, error.kind() == protocol::error_kind::not_found ? "plugin_not_found" : "plugin_file_refused",
        std::string(error.what()) + " (" + error.data().value("hint", "") + ")");
    record_plugin(refused);
    return done(refused);
  }
  loading_ = plugin;
  host_->request("plugin.load", {{"name", plugin}, {"path", path}}, plugin_load_timeout,
                 [this, plugin, path, identity, done = std::move(done)](const host_answer& answer) {
                   plugin_info info = read_plugin_answer(plugin, path, answer);
                   info.identity = identity;
                   // The host has ended; whether the plugin is to blame is known a moment later, in ended().
                   if (answer.error_kind == "unavailable") return done(info);
                   loading_.clear();
                   if (answer.error_kind == "timeout") {
                     info.error_kind = "plugin_constructor_timeout";
                     info.error = "it was not loaded within " + seconds_text(plugin_load_timeout) +
                                  ": does a constructor of it wait for something?";
                     record_plugin(info);
                     host_->kill("watchdog", "plugin " + plugin + ": " + info.error);
                     info.error_kind = "unavailable";
                     return done(info);
                   }
                   deaths_in_load_.erase(plugin);
                   record_plugin(info);
                   done(info);
                 });
}

void managed_sandbox::load_plugin(const std::string& plugin, const std::string& path, plugin_handler done) {
  if (const auto known = plugins_.find(plugin); known != plugins_.end() && known->second.path == path)
    return with_.events_loop.post([alive = alive_, info = known->second, done = std::move(done)] {
      if (*alive) done(info);
    });
  const auto refuse = [&](std::string kind, std::string why) {
    with_.events_loop.post(
        [alive = alive_, info = refused_plugin(plugin, path, std::move(kind), std::move(why)), done = std::move(done)] {
          if (*alive) done(info);
        });
  };
  if (!is_up()) return refuse("unavailable", "the sandbox is not up");
  wanted_plugins_[plugin] = path;
  if (sealed_)
    return refuse("plugin_sandbox_sealed",
                  "sandbox " + name_ + " is sealed and loads no plugin after its start; `rtctl sandbox restart " +
                      name_ + "` loads it, and \"seal\": false leaves the sandbox open");
  if (!sees(path))
    return refuse("plugin_not_in_sandbox",
                  "sandbox " + name_ + " was started without this file and sees no other; `rtctl sandbox restart " +
                      name_ + "` lets it in");
  // One load at a time, else a death could not be laid at one plugin's door.
  if (!loading_.empty()) {
    auto waiting = std::make_shared<timer>(with_.events_loop);
    waiting->start(20ms, [this, alive = alive_, waiting, plugin, path, done = std::move(done)]() mutable {
      if (*alive) load_plugin(plugin, path, std::move(done));
    });
    return;
  }
  try_plugin(plugin, path, std::move(done));
}

// A confined host sees the files of the plugins that it was started for; an open one their folders, too, so that a file
// that is replaced can be loaded.
bool managed_sandbox::sees(const std::string& path) const {
  const auto is_active = [this](std::string_view layer) {
    return std::find(layers_.active.begin(), layers_.active.end(), layer) != layers_.active.end();
  };
  if (!is_active("mount_namespace") && !is_active("landlock")) return true;
  return folders_at_start_.contains(folder_of(path)) ||
         std::any_of(plugins_at_start_.begin(), plugins_at_start_.end(),
                     [&](const auto& one) { return one.second == path; });
}

void managed_sandbox::unload_plugin(const std::string& plugin, outcome_handler done) {
  wanted_plugins_.erase(plugin);
  const auto known = plugins_.find(plugin);
  const bool loaded = known != plugins_.end() && known->second.loaded;
  if (!loaded && known != plugins_.end()) plugins_.erase(known);
  if (!loaded || !is_up()) return with_.events_loop.post([done = std::move(done)] { done(true, {}); });
  request("plugin.unload", {{"name", plugin}}, plugin_load_timeout,
          [this, plugin, done = std::move(done)](const host_answer& answer) {
            if (answer.good()) plugins_.erase(plugin);
            done(answer.good(), answer.message);
          });
}

void managed_sandbox::record_plugin(plugin_info info) {
  ++plugin_loads_[info.name][info.loaded ? "success" : info.error_kind];
  if (info.loaded) {
    with_.events.add(log_level::info, "plugin_loaded", name_, {},
                     "plugin " + info.name + " " + info.version + " is loaded in sandbox " + name_,
                     {{"plugin", info.name}});
    if (!info.thread_locals.empty())
      with_.lines.write(log_level::warn,
                        "plugin " + info.name + " has thread_local variables (" + info.thread_locals.front() +
                            (info.thread_locals.size() > 1 ? ", …" : "") +
                            "): a green thread may find another thread's value after each blocking call",
                        name_);
  } else {
    with_.events.add(log_level::error, "plugin_refused", name_, {},
                     "plugin " + info.name + " is refused in sandbox " + name_ + ": " + info.error,
                     {{"plugin", info.name}, {"error_kind", info.error_kind}});
  }
  const std::string plugin = info.name;
  plugins_[plugin] = std::move(info);
}

void managed_sandbox::blame_plugin(const host_end& end) {
  if (loading_.empty()) return;
  const std::string plugin = std::exchange(loading_, {});
  if (end.reason == "manual" || end.reason == "config") return;
  // SIGKILL comes from outside (an operator, the kernel short of memory) and says little about the plugin; but three of
  // them in a row do.
  const bool crashed = !end.crash.is_null() || end.signal != "SIGKILL";
  if (!crashed && ++deaths_in_load_[plugin] < deaths_until_blame) return;
  const auto wanted = wanted_plugins_.find(plugin);
  record_plugin(refused_plugin(plugin, wanted == wanted_plugins_.end() ? "" : wanted->second, "plugin_crashed",
                               "its load ended the host, which " + end.describe()));
}

// ---- ending ----

void managed_sandbox::end_gracefully(std::string reason, std::string detail) {
  state_ = sandbox_state::stopping;
  heartbeat_timer_.cancel();
  host_->expect_end(std::move(reason), std::move(detail));
  host_->request("shutdown", {{"grace_seconds", seconds(settings_.stop_timeout)}}, settings_.stop_timeout,
                 [](const host_answer&) {});
  stop_timer_.start(settings_.stop_timeout + 1s, [this] {
    with_.lines.write(log_level::warn, "the host did not stop within its stop_timeout and is killed", name_);
    host_->kill("manual", "it did not stop in time");
  });
}

void managed_sandbox::restart(std::string reason, std::string detail) {
  switch (state_) {
    case sandbox_state::stopping:
      if (after_ != after_end::stop) after_ = after_end::restart;
      return;
    case sandbox_state::up:
      after_ = after_end::restart;
      plugins_.clear();
      return end_gracefully(std::move(reason), std::move(detail));
    case sandbox_state::starting:
      after_ = after_end::restart;
      plugins_.clear();
      if (host_) host_->kill(std::move(reason), std::move(detail));
      return;
    case sandbox_state::backoff:
    case sandbox_state::down:
    case sandbox_state::fatal:
      plugins_.clear();
      backoff_.reset();
      ++restarts_;
      ++restarts_by_reason_[reason];
      return launch();
  }
}

void managed_sandbox::stop(std::function<void()> done) {
  stop_waiters_.push_back(std::move(done));
  if (state_ == sandbox_state::stopping || state_ == sandbox_state::starting || state_ == sandbox_state::up) {
    after_ = after_end::stop;
    if (state_ == sandbox_state::up) end_gracefully("manual", "the sandbox is stopped");
    if (state_ == sandbox_state::starting && host_) host_->kill("manual", "the sandbox is stopped");
    return;
  }
  restart_timer_.cancel();
  state_ = sandbox_state::down;
  with_.events_loop.post([this, alive = alive_] {
    if (*alive) flush_stop_waiters();
  });
}

void managed_sandbox::flush_stop_waiters() {
  for (auto& done : std::exchange(stop_waiters_, {})) done();
}

void managed_sandbox::kill(std::string reason, std::string detail) {
  if (host_) host_->kill(std::move(reason), std::move(detail));
}

void managed_sandbox::ended(host_end end) {
  const auto alive = alive_;
  const auto ran = host_ ? clock::now() - host_->started() : 0ns;
  // The call comes from the host object as its last deed.
  const auto former = std::move(host_);
  restart_timer_.cancel();
  stop_timer_.cancel();
  heartbeat_timer_.cancel();
  statistics_asked_.reset();
  const bool expected = after_ != after_end::by_policy;
  if (former && !former->group().empty()) look_at_group(end.counts);
  group_watch_.host_ended();
  with_.events.add(expected ? log_level::info : log_level::error, "sandbox_exited", name_, {},
                   "the host of sandbox " + name_ + " " + end.describe(), {{"exit", end.to_json()}});
  blame_plugin(end);
  loading_.clear();
  other_versions_.clear();
  last_end_ = end;
  state_ = sandbox_state::down;
  if (callbacks_.down) callbacks_.down(end);
  if (!*alive) return;
  if (learner_ && !expected) {
    end_learning(nullptr, "its host " + end.describe());
    if (!*alive) return;
  }
  statistics_.reset();  // not before: tasks add to their totals what they had used
  answer_refreshes(false);
  if (*alive) decide(end, ran);
}

void managed_sandbox::decide(const host_end& end, std::chrono::nanoseconds ran) {
  const after_end plan = std::exchange(after_, after_end::by_policy);
  if (plan == after_end::stop) return flush_stop_waiters();
  if (plan == after_end::restart) {
    backoff_.reset();
    ++restarts_;
    ++restarts_by_reason_[end.reason];
    return launch();
  }
  const auto give_up = [&](const std::string& why) {
    fatal_reason_ = why;
    state_ = sandbox_state::fatal;
    with_.events.add(
        log_level::error, "sandbox_fatal", name_, {},
        "sandbox " + name_ + " is given up: " + why + "; `rtctl sandbox restart " + name_ + "` starts it again");
  };
  if (!fatal_reason_.empty()) return give_up(fatal_reason_);
  using enum config::restart_policy;
  const bool failed = !end.signal.empty() || end.code != 0 || end.reason != "exit";
  const auto policy = settings_.restart.policy;
  if (policy == never || (policy == on_failure && !failed)) return;
  const auto delay = backoff_.next(clock::now(), ran);
  if (!delay)
    return give_up("it was restarted " + std::to_string(settings_.restart.max_restarts) + " times within " +
                   seconds_text(settings_.restart.window));
  state_ = sandbox_state::backoff;
  ++restarts_;
  ++restarts_by_reason_[end.reason];
  with_.events.add(*delay < 1s ? log_level::debug : log_level::warn, "sandbox_backoff", name_, {},
                   "sandbox " + name_ + " starts again in " + seconds_text(*delay),
                   {{"delay_seconds", seconds(*delay)}});
  restart_timer_.start(*delay, [this] { launch(); });
}

// ---- what the host says ----

void managed_sandbox::host_event(const json& event) {
  const auto& kind = event["event"].get_ref<const std::string&>();
  if (kind == "log") return lines_.log_event(event);
  if (kind == "violation") {
    const std::string words = violations_.take(event);
    if (settings_.isolation.on_violation == config::violation_action::kill)
      host_->kill("violation", "the sandbox refused " + words);
    return;
  }
  if (kind == "violations_lost") return violations_.take_lost(event);
  if (kind == "refused" && state_ == sandbox_state::starting) {
    // Another start would meet the same kernel.
    fatal_reason_ = protocol::text_field(event, "message", protocol::max_text_bytes);
    return host_->kill("protocol", fatal_reason_);
  }
  // Events of another kind are a newer host's, and not ours to understand.
  if (kind == "task") {
    task_event told{protocol::text_field(event, "id", protocol::max_name_bytes),
                    protocol::text_field(event, "state", 32),
                    protocol::text_field(event, "error", protocol::max_text_bytes),
                    protocol::number_field(event, "cpu_seconds", 0, 0, most_cpu_seconds),
                    protocol::text_field(event, "limit", 32),
                    protocol::boolean_field(event, "has_accepted", false)};
    if (callbacks_.task && is_up()) callbacks_.task(told);
  }
}

void managed_sandbox::request(std::string_view method, json params, std::chrono::nanoseconds timeout,
                              host_process::answer_handler done, std::vector<sandbox::descriptor> with) {
  if (is_up()) return host_->request(method, std::move(params), timeout, std::move(done), std::move(with));
  with_.events_loop.post([alive = alive_, done = std::move(done), why = trouble()] {
    if (*alive) done({json::object(), "unavailable", why});
  });
}

// ---- reports ----

double managed_sandbox::backoff_seconds() const {
  return restart_timer_.running() ? std::max(0.0, seconds(restart_timer_.due() - clock::now())) : 0;
}

std::string managed_sandbox::trouble() const {
  std::string text = "sandbox " + name_ + " is " + std::string(to_string(state_));
  if (state_ == sandbox_state::fatal) return text + ": " + fatal_reason_;
  if (state_ != sandbox_state::up && last_end_) return text + ": its host " + last_end_->describe();
  return text;
}

json managed_sandbox::to_json() const {
  json missing = json::array();
  for (const auto& layer : layers_.missing)
    missing.push_back({{"name", layer.name},
                       {"reason", protocol::clean_text(layer.reason)},
                       {"remedy", sandbox::remedy_for(layer.name)}});
  json result = {{"name", name_},
                 {"state", to_string(state_)},
                 {"pid", host_ ? json(host_->pid()) : json(nullptr)},
                 {"restarts", restarts_},
                 {"uptime_seconds", host_ ? seconds(clock::now() - host_->started()) : 0.0},
                 {"backoff_seconds", backoff_seconds()},
                 {"procs", statistics_ ? statistics_->runtime.procs : 0},
                 {"green_threads", statistics_ ? statistics_->runtime.green_threads : 0},
                 {"heap_bytes", statistics_ ? statistics_->heap.in_use_bytes : 0},
                 {"heap_live_bytes", statistics_ ? statistics_->heap.live_bytes : 0},
                 {"heap_allocated_bytes", statistics_ ? statistics_->heap.allocated_bytes_total : 0},
                 {"rss_bytes", 0},
                 {"cpu_seconds", 0.0},
                 {"isolation", config::to_string(settings_.isolation.mode)},
                 {"layers", layers_.active},
                 {"missing_layers", std::move(missing)},
                 {"violations_total", violations_.total()},
                 {"violations", violations_.to_json()},
                 {"fatal_reason", fatal_reason_},
                 {"last_exit", last_end_ ? last_end_->to_json() : json(nullptr)}};
  if (host_) {
    if (const auto figures = metrics::read_process(host_->pid())) {
      result["rss_bytes"] = figures->resident_bytes;
      result["cpu_seconds"] = figures->user_seconds + figures->system_seconds;
    }
  }
  return result;
}

metrics::sandbox_snapshot managed_sandbox::snapshot() const {
  const auto unix_seconds = [](std::chrono::system_clock::time_point when) {
    return std::chrono::duration<double>(when.time_since_epoch()).count();
  };
  metrics::sandbox_snapshot result;
  result.name = name_;
  if (is_up()) {  // a host of another build is refused at its start
    result.version = protocol::version();
    result.abi = std::to_string(plugin_abi);
  }
  result.state = to_string(state_);
  result.starts_total = starts_;
  result.restarts_total = restarts_by_reason_;
  result.backoff_seconds = backoff_seconds();
  for (const auto& layer : layers_.active) result.layers[layer] = host_ != nullptr;
  for (const auto& layer : layers_.missing) result.layers[layer.name] = false;
  result.denied_calls_total = violations_.by_call();
  result.group = group_watch_.totals();
  result.setup_duration = setup_duration_;
  result.host = statistics_;
  if (host_) {
    const auto age = clock::now() - host_->started();
    result.start_time_seconds = unix_seconds(std::chrono::system_clock::now()) - seconds(age);
    result.last_heartbeat_timestamp_seconds =
        unix_seconds(std::chrono::system_clock::now()) - seconds(clock::now() - host_->last_answer());
    result.process = metrics::read_process(host_->pid());
  }
  for (const auto& [plugin, loads] : plugin_loads_) {
    metrics::plugin_figures figures;
    figures.name = plugin;
    figures.loads_total = loads;
    if (const auto known = plugins_.find(plugin); known != plugins_.end()) {
      figures.version = known->second.version;
      figures.abi = std::to_string(known->second.abi);
      figures.loaded = known->second.loaded;
    }
    for (const plugin_info& other : other_versions_)
      if (other.name == plugin && other.version != figures.version) figures.versions_beside.insert(other.version);
    result.plugins.push_back(std::move(figures));
  }
  return result;
}

}  // namespace rtd::supervisor
