#include "daemon/host/host_service.h"

#include <unistd.h>

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <utility>

#include "daemon/host/dump.h"
#include "daemon/host/heap_json.h"
#include "daemon/host/heap_why.h"
#include "daemon/host/host_thread.h"
#include "daemon/host/learning.h"
#include "daemon/host/log_drain.h"
#include "daemon/host/profiles.h"
#include "daemon/host/request_error.h"
#include "daemon/host/request_params.h"
#include "daemon/host/stats_json.h"
#include "daemon/protocol/base64.h"
#include "daemon/protocol/json.h"
#include "daemon/protocol/text.h"
#include "daemon/sandbox/seccomp.h"
#include "rt/plugin.h"
#include "rt/profile.h"
#include "runtime/heap/sampling.h"

namespace rtd::host {

using nlohmann::json;

namespace {

constexpr std::size_t most_path_bytes = 4096;
constexpr std::size_t most_parameter_values = 10'000;
constexpr std::int64_t smallest_stack = 64 * 1024;
constexpr std::int64_t largest_stack = 64 << 20;
constexpr std::int64_t most_procs = 256;
constexpr std::int64_t most_plugin_number = std::int64_t{1} << 53;
constexpr double most_grace_seconds = 86'400;
constexpr double default_grace_seconds = 5;

std::chrono::nanoseconds grace_of(const request_params& params) {
  double seconds = params.number_or("grace_seconds", 0, most_grace_seconds, default_grace_seconds);
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double>(seconds));
}

stop_ladder ladder_of(const request_params& params) {
  const auto time = [&](std::string_view key) {
    const double seconds = params.number_or(key, 0, most_grace_seconds, 0);
    return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double>(seconds));
  };
  return {time("drain_seconds"), time("cancel_seconds"), grace_of(params)};
}

std::size_t stack_size_of(const request_params& params) {
  std::int64_t size = params.integer_or("stack_size", 0, largest_stack, 0);
  if (size != 0 && size < smallest_stack) {
    throw request_error("bad_request", "parameter \"stack_size\" must be 0, for the default, or from " +
                                           std::to_string(smallest_stack) + " to " + std::to_string(largest_stack));
  }
  return static_cast<std::size_t>(size);
}

struct task_share {
  std::uint32_t weight;
  rt::detail::share_class scheduling;
};

task_share share_of(const request_params& params) {
  std::int64_t weight =
      params.integer_or("weight", rt::detail::least_weight, rt::detail::most_weight, rt::detail::default_weight);
  std::string scheduling = params.text_or("class", 16, "normal");
  if (scheduling != "normal" && scheduling != "latency") {
    throw request_error("bad_request", "parameter \"class\" must be normal or latency");
  }
  return {static_cast<std::uint32_t>(weight),
          scheduling == "latency" ? rt::detail::share_class::latency : rt::detail::share_class::normal};
}

// The largest limit of memory, in bytes, and of what is counted.
constexpr std::int64_t most_heap_bytes = std::int64_t{1} << 60;
constexpr std::int64_t most_counted = 1'000'000'000;
constexpr double most_cpus = 4096;

// The object "limits" of a task: as in the configuration, with 0 for none.
rt::detail::task_limits limits_of(const request_params& params) {
  rt::detail::task_limits limits;
  if (!params.has("limits")) return limits;
  const request_params given(params.member("limits"));
  const auto one = [&](const char* key, std::int64_t most) {
    const std::int64_t value = given.integer_or(key, 0, most, 0);
    return value == 0 ? rt::detail::no_limit : static_cast<std::uint64_t>(value);
  };
  limits.heap_soft = one("heap_soft", most_heap_bytes);
  limits.heap_hard = one("heap_hard", most_heap_bytes);
  if (limits.heap_soft != SIZE_MAX && limits.heap_soft > limits.heap_hard) {
    throw request_error("bad_request", "parameter \"heap_soft\" is larger than \"heap_hard\"");
  }
  limits.green_threads = one("green_threads", most_counted);
  limits.connections = one("connections", most_counted);
  limits.log_rate = static_cast<std::uint64_t>(given.integer_or("log_rate", 0, most_counted, 0));
  limits.cpus = given.number_or("cpus", 0, most_cpus, 0);
  limits.log_burst = static_cast<std::uint64_t>(given.integer_or("log_burst", 1, most_counted, 1));
  return limits;
}

// Settings of the collector: those that are given. A percentage of -1 and a limit of 0 mean none.
void set_collector(const request_params& params) {
  constexpr std::int64_t most_percent = 100'000;
  if (params.has("gc_percent")) {
    rt::set_gc_percent(static_cast<int>(params.integer("gc_percent", rt::gc_off, most_percent)));
  }
  if (params.has("memory_limit")) {
    std::int64_t bytes = params.integer("memory_limit", 0, most_heap_bytes);
    rt::set_memory_limit(bytes == 0 ? rt::no_memory_limit : static_cast<std::uint64_t>(bytes));
  }
}

rt::deadlock_policy deadlock_policy_of(const request_params& params) {
  std::string word = params.text_or("on_deadlock", 16, "fail");
  if (word == "fail") return rt::deadlock_policy::fail;
  if (word == "report") return rt::deadlock_policy::report;
  if (word == "ignore") return rt::deadlock_policy::ignore;
  throw request_error("bad_request", "parameter \"on_deadlock\" must be fail, report or ignore");
}

// A task's parameters: an object of arrays of texts.
rt::detail::task_parameters parameters_of(const request_params& params) {
  rt::detail::task_parameters result;
  if (!params.has("params")) return result;
  const json& object = params.member("params");
  if (!object.is_object()) throw request_error("bad_request", "parameter \"params\" must be an object");
  std::size_t values = 0;
  for (const auto& [key, list] : object.items()) {
    if (!list.is_array())
      throw request_error("bad_request", "the task's parameter \"" + key + "\" must be an array of texts");
    std::vector<std::string>& to = result[key];
    for (const json& value : list) {
      if (!value.is_string() || ++values > most_parameter_values) {
        throw request_error("bad_request", "the task's parameter \"" + key + "\" must be an array of texts, at most " +
                                               std::to_string(most_parameter_values) + " in all");
      }
      to.push_back(value.get<std::string>());
    }
  }
  return result;
}

json error_json(const json& id, std::string_view kind, const std::string& message) {
  return {{"id", id}, {"error", {{"kind", kind}, {"message", rtd::protocol::clean_text(message)}}}};
}

json plugin_json(const loaded_plugin& plugin) {
  json entries = json::array();
  for (const plugin_entry& one : plugin.entries)
    entries.push_back({{"name", one.name}, {"description", one.description}});
  return {{"name", plugin.name},    {"version", plugin.version},     {"description", plugin.description},
          {"abi", plugin.abi},      {"entries", std::move(entries)}, {"thread_locals", plugin.thread_locals},
          {"number", plugin.number}};
}

}  // namespace

host_service::host_service(link_writer& link, std::string sandbox, rtd::sandbox::confinement_report confinement)
    : link_(link), sandbox_(std::move(sandbox)), confinement_(std::move(confinement)) {}

// ---- the link's thread ----

bool host_service::handle(std::string_view payload) {
  auto parsed = rtd::protocol::parse_json(payload, rtd::protocol::link_limits);
  if (!parsed) return link_.send(error_json(nullptr, "bad_request", "the frame is no JSON: " + parsed.error));
  const json& message = *parsed.value;
  json id = message.is_object() && message.contains("id") && message["id"].is_number_integer() ? message["id"] : json();
  if (id.is_null() || !message.contains("method") || !message["method"].is_string()) {
    return link_.send(
        error_json(id, "bad_request", "a request is {\"id\": number, \"method\": text, \"params\": object}"));
  }
  const auto& method = message["method"].get_ref<const std::string&>();
  std::vector<rt::net::detail::owned_fd> descriptors;
  if (!take_descriptors(message, descriptors)) {
    return link_.send(error_json(id, "bad_request", "\"descriptors\" is not the number of those that came with it"));
  }
  json params = message.contains("params") ? message["params"] : json::object();
  if (method == "host.configure") {
    // Answered when the runtime runs.
    try {
      configure(id, params);
      return true;
    } catch (const request_error& error) {
      return link_.send(error_json(id, error.kind(), error.what()));
    }
  }
  std::function<json()> slow;
  std::optional<std::chrono::nanoseconds> shutdown_grace;
  bool open = reply(id, [&]() -> json {
    if (method == "shutdown") {
      shutdown_grace = grace_of(request_params(params));
      return json::object();
    }
    require_running();
    slow = slow_answer(method, params);
    return slow ? json() : answer(method, params, std::move(descriptors));
  });
  if (slow) run_job(id, std::move(slow));
  if (shutdown_grace) shut_down(*shutdown_grace);  // after the answer: without tasks the process ends at once
  return open;
}

// Sends what `make` returns as the result, or its exception as the error. A null result sends nothing.
bool host_service::reply(const json& id, const std::function<json()>& make) {
  json message;
  try {
    json result = make();
    if (result.is_null()) return true;
    message = {{"id", id}, {"result", std::move(result)}};
  } catch (const request_error& error) {
    message = error_json(id, error.kind(), error.what());
  } catch (const std::exception& error) {
    message = error_json(id, "internal", error.what());
  }
  try {
    return link_.send(message);
  } catch (const std::length_error& error) {
    return link_.send(error_json(id, "too_large", error.what()));
  }
}

void host_service::run_job(const json& id, std::function<json()> make) {
  auto refuse = [&](const std::string& why) { link_.send(error_json(id, "busy", why)); };
  if (jobs_.fetch_add(1) >= most_jobs) {
    jobs_.fetch_sub(1);
    return refuse(std::to_string(most_jobs) + " slow requests are under way already");
  }
  try {
    start_thread("rtd-job", [this, id, make = std::move(make)] {
      reply(id, make);
      jobs_.fetch_sub(1);
    }).detach();  // a constructor may never return; the process ends by _exit
  } catch (const std::system_error& error) {
    jobs_.fetch_sub(1);
    refuse(std::string("no thread for the request: ") + error.what());
  }
}

void host_service::require_running() const {
  std::lock_guard guard(lock_);
  switch (phase_) {
    case phase::unconfigured:
    case phase::starting:
      throw request_error("not_configured", "host.configure has to come first");
    case phase::running:
      return;
    case phase::ending:
      throw request_error("shutting_down", "the host is ending");
  }
}

// They are closed at the end of the request unless somebody takes them over.
bool host_service::take_descriptors(const json& message, std::vector<rt::net::detail::owned_fd>& to) {
  if (!message.contains("descriptors")) return true;
  const json& count = message["descriptors"];
  if (!count.is_number_unsigned() || count.get<std::uint64_t>() > descriptors_.size()) return false;
  for (auto left = count.get<std::size_t>(); left > 0; --left) {
    to.push_back(std::move(descriptors_.front()));
    descriptors_.pop_front();
  }
  return true;
}

json host_service::answer(const std::string& method, const json& raw,
                          std::vector<rt::net::detail::owned_fd> descriptors) {
  if (method == "learned") return learned();
  if (method == "stats") return statistics();
  if (method == "task.start") return start_task(raw, std::move(descriptors));
  if (method == "task.stop") return stop_task(raw);
  if (method == "task.share") return share_task(raw);
  if (method == "task.limit") return limit_task(raw);
  if (method == "set") return set(raw);
  throw request_error("unknown_method", "there is no method \"" + rtd::protocol::clean_text(method, 64) + "\"");
}

std::function<json()> host_service::slow_answer(const std::string& method, const json& raw) {
  request_params params(raw);
  if (method == "plugin.load") {
    // An empty name accepts whatever the plugin calls itself (rtctl plugin check).
    std::string name = params.text("name", rtd::protocol::max_name_bytes).empty() ? "" : params.name("name");
    return [this, name, beside = params.boolean_or("beside", false), path = params.text("path", most_path_bytes)] {
      return plugin_json(beside ? *plugins_.load_beside(name, path) : *plugins_.load(name, path));
    };
  }
  if (method == "plugin.use") {
    const auto number = static_cast<std::uint64_t>(params.integer("number", 1, most_plugin_number));
    return [this, number, name = params.name("name")] {
      // What the former version's green threads left on their stacks must not look like references to it on the stacks
      // of those that are started now.
      rt::release_memory();
      plugins_.use(name, number);
      return json::object();
    };
  }
  if (method == "plugin.unload") {
    const auto number = static_cast<std::uint64_t>(params.integer_or("number", 0, most_plugin_number, 0));
    return [this, number, name = params.name("name")] {
      bool unmapped = plugins_.unload(name, number, tasks_);
      return json{{"unmapped", unmapped}};
    };
  }
  if (method == "seal") {
    return [] {
      if (std::string problem = rtd::sandbox::seal_seccomp(); !problem.empty()) {
        throw request_error("layer_missing", problem);
      }
      return json::object();
    };
  }
  if (method == "stacks") {
    auto limit = static_cast<std::size_t>(params.integer_or("limit", 1, 1'000'000, 1000));
    return [limit, task = params.text_or("task", rtd::protocol::max_name_bytes, "")] {
      return json{{"text", dump_stacks(limit, task)}};
    };
  }
  if (method == "heap.why") {
    return [this, address = params.text("address", 16)] { return explain_object(address, tasks_); };
  }
  if (method == "heap.profile") {
    return [this, task = params.text_or("task", rtd::protocol::max_name_bytes, ""),
            collects = params.flag_or("collect", false)] { return heap_profile(task, collects); };
  }
  if (method == "gc") {
    return [] {
      auto began = std::chrono::steady_clock::now();
      rt::gc();
      rt::released_memory released = rt::release_memory();
      std::chrono::duration<double> spent = std::chrono::steady_clock::now() - began;
      return json{{"heap_bytes", released.heap_bytes},
                  {"live_bytes", rt::read_gc_stats().live_bytes},
                  {"stack_bytes", released.stack_bytes},
                  {"malloc_bytes", released.malloc_bytes},
                  {"duration_seconds", spent.count()}};
    };
  }
  if (method == "set" && params.has("max_procs")) {
    auto procs = static_cast<int>(params.integer("max_procs", 0, most_procs));
    return [this, procs, raw] {
      set(raw);
      rt::max_procs(procs == 0 ? rt::num_cpu() : procs);
      return json::object();
    };
  }
  return nullptr;
}

json host_service::heap_profile(const std::string& task, bool collects) {
  if (collects) rt::gc();
  profile_labels labels{sandbox_, {}};
  for (const auto& one : tasks_.list()) labels.plugins.push_back({one->identity().id, one->identity().plugin});
  const std::string file =
      heap_profile_file(rt::heap_profile(), task, rt::detail::sample_rate.load(std::memory_order_relaxed), labels);
  return {{"profile", rtd::protocol::to_base64(file)}};
}

json host_service::set(const json& raw) {
  request_params params(raw);
  set_collector(params);
  if (!params.has("log_level")) {
    if (params.has("max_procs") || params.has("gc_percent") || params.has("memory_limit")) return json::object();
    throw request_error("bad_request", "set wants \"max_procs\", \"gc_percent\", \"memory_limit\" or \"log_level\"");
  }
  rt::log_level level{};
  if (!parse_level(params.text("log_level", 16), level)) {
    throw request_error("bad_request", "parameter \"log_level\" must be debug, info, warn or error");
  }
  log_->set_level(level);
  return json::object();
}

json host_service::start_task(const json& raw, std::vector<rt::net::detail::owned_fd> sockets) {
  request_params params(raw);
  rt::detail::task_spec spec;
  spec.id = params.name("id");
  std::string plugin_name = params.name("plugin");
  spec.entry = params.text("entry", rtd::protocol::max_name_bytes);
  spec.parameters = parameters_of(params);
  spec.stack_size = stack_size_of(params);
  const task_share share = share_of(params);
  spec.weight = share.weight;
  spec.scheduling = share.scheduling;
  spec.on_deadlock = deadlock_policy_of(params);
  spec.limits = limits_of(params);
  if (!sockets.empty()) {
    auto listeners = std::make_shared<rt::detail::kept_listeners>();
    for (auto& socket : sockets) {
      if (!listeners->add(std::move(socket))) throw request_error("bad_request", "a descriptor is no listening socket");
    }
    spec.listeners = std::move(listeners);
  }
  auto plugin = plugins_.find(plugin_name);
  if (plugin == nullptr) throw request_error("no_such_plugin", "no plugin \"" + plugin_name + "\" is loaded");
  tasks_.start(std::move(plugin), std::move(spec));
  return json::object();
}

json host_service::stop_task(const json& raw) {
  request_params params(raw);
  tasks_.stop(params.name("id"), ladder_of(params));
  return json::object();
}

json host_service::share_task(const json& raw) {
  request_params params(raw);
  const task_share share = share_of(params);
  tasks_.set_share(params.name("id"), share.weight, share.scheduling);
  return json::object();
}

json host_service::limit_task(const json& raw) {
  request_params params(raw);
  tasks_.set_limits(params.name("id"), limits_of(params));
  return json::object();
}

json host_service::statistics() {
  auto tasks = tasks_.list();
  json list = json::array();
  for (const auto& task : tasks) list.push_back(to_json(*task));
  metrics_json metrics = metrics_of(tasks);
  return {{"runtime", to_json(rt::read_stats())},
          {"duration_bounds", rt::sched_duration_bounds()},
          {"tasks", std::move(list)},
          {"metrics", std::move(metrics.families)},
          {"metrics_left_out", metrics.left_out},
          {"logs_dropped_total", log_->dropped()},
          {"malloc", malloc_json()},
          {"heap", to_json(rt::read_mem_stats())},
          {"gc", to_json(rt::read_gc_stats())}};
}

void host_service::shut_down(std::chrono::nanoseconds grace) {
  {
    std::lock_guard guard(lock_);
    bool has_tasks = phase_ == phase::running || shutdown_deadline_.has_value();
    phase_ = phase::ending;
    changed_.notify_all();
    if (!has_tasks) return;
  }
  tasks_.stop_all(grace);
  // After those of the tasks: that each of them is stuck is told before the host gives up.
  auto deadline = task_table::clock::now() + grace;
  shutdown_deadline_ = shutdown_deadline_ ? std::min(*shutdown_deadline_, deadline) : deadline;
}

void host_service::link_closed() {
  std::lock_guard guard(lock_);
  phase_ = phase::ending;
  changed_.notify_all();
}

int host_service::tick(bool& gave_up) {
  auto now = task_table::clock::now();
  auto next = tasks_.check_deadlines(now);
  if (shutdown_deadline_ && !end_sent_) {
    if (tasks_.empty()) {
      end_sent_ = true;
      end_.try_send(0);
    } else if (now >= *shutdown_deadline_) {
      gave_up = true;
    }
    // The end of the last task is noted on another thread.
    constexpr auto look_again = std::chrono::milliseconds(5);
    auto soon = now + look_again;
    if (!end_sent_ && (!next || soon < *next)) next = soon;
  }
  if (!next) return -1;
  auto left = std::chrono::ceil<std::chrono::milliseconds>(*next - now).count();
  return static_cast<int>(std::clamp<std::int64_t>(left, 0, std::numeric_limits<int>::max()));
}

// ---- configuration, between the link's thread and the main thread ----

void host_service::configure(const json& id, const json& raw) {
  request_params params(raw);
  std::string sandbox = params.name("sandbox");
  rt::run_options options;
  options.max_procs = static_cast<int>(params.integer_or("max_procs", 0, most_procs, 0));
  if (std::size_t size = stack_size_of(params); size != 0) options.stack_size = size;
  options.on_deadlock = rt::deadlock_policy::ignore;  // the main green thread waits for the end of the host
  rt::log_level level{};
  if (!parse_level(params.text_or("log_level", 16, "info"), level)) {
    throw request_error("bad_request", "parameter \"log_level\" must be debug, info, warn or error");
  }
  if (sandbox != sandbox_) {
    throw request_error("bad_request", "this is the host of sandbox \"" + sandbox_ + "\", not of \"" + sandbox + "\"");
  }
  set_collector(params);
  std::lock_guard guard(lock_);
  if (phase_ != phase::unconfigured) throw request_error("already_configured", "the host is configured already");
  log_->set_level(level);
  options_ = options;
  configure_id_ = id;
  phase_ = phase::starting;
  changed_.notify_all();
}

std::optional<rt::run_options> host_service::wait_for_configuration() {
  std::unique_lock guard(lock_);
  changed_.wait(guard, [&] { return phase_ == phase::starting || phase_ == phase::ending; });
  if (phase_ == phase::ending) return std::nullopt;
  return options_;
}

void host_service::runtime_started(const std::string& problem) {
  json id;
  bool end_now = false;
  {
    std::lock_guard guard(lock_);
    id = configure_id_;
    if (phase_ == phase::ending) {
      end_now = true;  // shut down while it started
    } else if (problem.empty()) {
      phase_ = phase::running;
    }
  }
  if (end_now) end_.try_send(0);
  if (!problem.empty()) {
    link_.send(error_json(id, "start_failed", problem));
    return;
  }
  json missing = json::array();
  for (const auto& layer : confinement_.missing) missing.push_back({{"name", layer.name}, {"reason", layer.reason}});
  link_.send({{"id", id},
              {"result",
               {{"pid", getpid()},
                {"abi", RT_ABI_VERSION},
                {"version", rt::version()},
                {"layers", confinement_.active},
                {"missing_layers", std::move(missing)}}}});
}

void host_service::wait_for_end() { end_.recv(); }

}  // namespace rtd::host
