#include "daemon/host/host_service.h"

#include <unistd.h>

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <utility>

#include "daemon/host/dump.h"
#include "daemon/host/host_thread.h"
#include "daemon/host/log_drain.h"
#include "daemon/host/request_error.h"
#include "daemon/host/request_params.h"
#include "daemon/host/stats_json.h"
#include "daemon/protocol/json.h"
#include "daemon/protocol/text.h"
#include "rt/plugin.h"

namespace rtd::host {

using nlohmann::json;

namespace {

constexpr std::size_t most_path_bytes = 4096;
constexpr std::size_t most_parameter_values = 10'000;
constexpr std::int64_t smallest_stack = 64 * 1024;
constexpr std::int64_t largest_stack = 64 << 20;
constexpr std::int64_t most_procs = 256;
constexpr double most_grace_seconds = 86'400;
constexpr double default_grace_seconds = 5;

std::chrono::nanoseconds grace_of(const request_params& params) {
  double seconds = params.number_or("grace_seconds", 0, most_grace_seconds, default_grace_seconds);
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double>(seconds));
}

std::size_t stack_size_of(const request_params& params) {
  std::int64_t size = params.integer_or("stack_size", 0, largest_stack, 0);
  if (size != 0 && size < smallest_stack) {
    throw request_error("bad_request", "parameter \"stack_size\" must be 0, for the default, or from " +
                                           std::to_string(smallest_stack) + " to " + std::to_string(largest_stack));
  }
  return static_cast<std::size_t>(size);
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
  return {{"name", plugin.name}, {"version", plugin.version},     {"description", plugin.description},
          {"abi", plugin.abi},   {"entries", std::move(entries)}, {"thread_locals", plugin.thread_locals}};
}

}  // namespace

host_service::host_service(link_writer& link, std::string sandbox) : link_(link), sandbox_(std::move(sandbox)) {}

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
    return slow ? json() : answer(method, params);
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

json host_service::answer(const std::string& method, const json& raw) {
  if (method == "stats") return statistics();
  if (method == "task.start") return start_task(raw);
  if (method == "task.stop") return stop_task(raw);
  if (method == "set") return set(raw);
  throw request_error("unknown_method", "there is no method \"" + rtd::protocol::clean_text(method, 64) + "\"");
}

std::function<json()> host_service::slow_answer(const std::string& method, const json& raw) {
  request_params params(raw);
  if (method == "plugin.load") {
    // An empty name accepts whatever the plugin calls itself (rtctl plugin check).
    std::string name = params.text("name", rtd::protocol::max_name_bytes).empty() ? "" : params.name("name");
    return
        [this, name, path = params.text("path", most_path_bytes)] { return plugin_json(*plugins_.load(name, path)); };
  }
  if (method == "plugin.unload") {
    return [this, name = params.name("name")] {
      bool unmapped = plugins_.unload(name);
      return json{{"unmapped", unmapped}};
    };
  }
  if (method == "stacks") {
    auto limit = static_cast<std::size_t>(params.integer_or("limit", 1, 1'000'000, 1000));
    return [limit, task = params.text_or("task", rtd::protocol::max_name_bytes, "")] {
      return json{{"text", dump_stacks(limit, task)}};
    };
  }
  if (method == "gc") {
    return [] {
      auto began = std::chrono::steady_clock::now();
      rt::released_memory released = rt::release_memory();
      std::chrono::duration<double> spent = std::chrono::steady_clock::now() - began;
      return json{{"stack_bytes", released.stack_bytes},
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

json host_service::set(const json& raw) {
  request_params params(raw);
  if (!params.has("log_level")) {
    if (params.has("max_procs")) return json::object();
    throw request_error("bad_request", "set wants \"max_procs\" or \"log_level\"");
  }
  rt::log_level level{};
  if (!parse_level(params.text("log_level", 16), level)) {
    throw request_error("bad_request", "parameter \"log_level\" must be debug, info, warn or error");
  }
  log_->set_level(level);
  return json::object();
}

json host_service::start_task(const json& raw) {
  request_params params(raw);
  rt::detail::task_spec spec;
  spec.id = params.name("id");
  std::string plugin_name = params.name("plugin");
  spec.entry = params.text("entry", rtd::protocol::max_name_bytes);
  spec.parameters = parameters_of(params);
  spec.stack_size = stack_size_of(params);
  auto plugin = plugins_.find(plugin_name);
  if (plugin == nullptr) throw request_error("no_such_plugin", "no plugin \"" + plugin_name + "\" is loaded");
  tasks_.start(std::move(plugin), std::move(spec));
  return json::object();
}

json host_service::stop_task(const json& raw) {
  request_params params(raw);
  tasks_.stop(params.name("id"), grace_of(params));
  return json::object();
}

json host_service::statistics() {
  auto tasks = tasks_.list();
  json list = json::array();
  for (const auto& task : tasks) list.push_back(to_json(*task));
  metrics_json metrics = metrics_of(tasks);
  return {{"runtime", to_json(rt::read_stats())},
          {"wait_bounds", rt::run_queue_wait_bounds()},
          {"tasks", std::move(list)},
          {"metrics", std::move(metrics.families)},
          {"metrics_left_out", metrics.left_out},
          {"logs_dropped_total", log_->dropped()},
          {"malloc", malloc_json()}};
}

void host_service::shut_down(std::chrono::nanoseconds grace) {
  {
    std::lock_guard guard(lock_);
    bool has_tasks = phase_ == phase::running || shutdown_deadline_.has_value();
    phase_ = phase::ending;
    changed_.notify_all();
    if (!has_tasks) return;
  }
  auto deadline = task_table::clock::now() + grace;
  shutdown_deadline_ = shutdown_deadline_ ? std::min(*shutdown_deadline_, deadline) : deadline;
  tasks_.stop_all(grace);
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
  rt::log_level level{};
  if (!parse_level(params.text_or("log_level", 16, "info"), level)) {
    throw request_error("bad_request", "parameter \"log_level\" must be debug, info, warn or error");
  }
  if (sandbox != sandbox_) {
    throw request_error("bad_request", "this is the host of sandbox \"" + sandbox_ + "\", not of \"" + sandbox + "\"");
  }
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
  link_.send({{"id", id}, {"result", {{"pid", getpid()}, {"abi", RT_ABI_VERSION}, {"version", rt::version()}}}});
}

void host_service::wait_for_end() { end_.recv(); }

}  // namespace rtd::host
