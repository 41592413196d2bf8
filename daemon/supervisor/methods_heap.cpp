// gc.run, gc.set, gc.stats, heap.profile, heap.stats, heap.why.
#include <memory>

#include "daemon/protocol/base64.h"
#include "daemon/protocol/fields.h"
#include "daemon/supervisor/daemon.h"
#include "daemon/supervisor/host_questions.h"
#include "daemon/supervisor/host_start.h"
#include "daemon/supervisor/methods.h"

namespace rtd::supervisor {
namespace {

using nlohmann::json;
using namespace std::chrono_literals;
using protocol::error_kind;
using protocol::rpc_error;

constexpr std::int64_t most_bytes = std::int64_t{1} << 60;

// Answers with what `of_sandbox` makes of each chosen sandbox that has figures.
void with_heaps(daemon& of, const call_handle& made, const std::function<json(const managed_sandbox&)>& of_sandbox) {
  const auto hosts = chosen_sandboxes(of, made);
  std::vector<std::string> names;
  for (const managed_sandbox* one : hosts) names.push_back(one->name());
  const auto all = when_all_done([&of, made, names, of_sandbox] {
    json list = json::array();
    for (const std::string& name : names) {
      const auto found = of.sandboxes().find(name);
      if (found != of.sandboxes().end() && found->second->statistics() != nullptr)
        list.push_back(of_sandbox(*found->second));
    }
    if (list.empty()) return made->fail(error_kind::unavailable, "no sandbox has told anything of its heap");
    made->reply({{"sandboxes", std::move(list)}});
  });
  for (managed_sandbox* one : hosts) one->refresh(managed_sandbox::figures_patience, [all](bool) {});
}

json collector_of(const managed_sandbox& sandbox) {
  json result = metrics::to_json(sandbox.statistics()->heap);
  result["name"] = sandbox.name();
  return result;
}

json heap_of(daemon& of, const managed_sandbox& sandbox) {
  const metrics::host_snapshot& figures = *sandbox.statistics();
  json tasks = json::array();
  // Under the names that the supervisor knows; a host's word for others is not taken.
  for (const auto& [name, task] : of.tasks().all()) {
    if (task->spec.sandbox != sandbox.name() || !task->in_host) continue;
    const metrics::host_task* told = figures.find_task(name);
    if (told == nullptr) continue;
    json one = metrics::to_json(told->heap);
    one["name"] = name;
    one["plugin"] = task->spec.plugin;
    tasks.push_back(std::move(one));
  }
  json result = collector_of(sandbox);
  for (const char* histogram : {"stops", "begin_pauses", "end_pauses", "total_pauses"}) result.erase(histogram);
  result["size_classes"] = metrics::to_json(figures.heap.size_classes);
  result["tasks"] = std::move(tasks);
  return result;
}

// What is not given stays; when nothing is, the collectors are set as the configuration says.
void set_collector(daemon& of, const call_handle& made) {
  json params = json::object();
  if (made->has("percent")) params["gc_percent"] = made->integer("percent", 100);
  if (made->has("memory_limit")) params["memory_limit"] = made->integer("memory_limit", 0);
  const auto hosts = chosen_sandboxes(of, made);
  auto names = std::make_shared<json>(json::array());
  auto problem = std::make_shared<std::string>("there is no sandbox");
  const auto all = when_all_done([made, names, problem] {
    if (names->empty()) return made->fail(error_kind::unavailable, *problem);
    made->reply({{"sandboxes", *names}});
  });
  for (managed_sandbox* host : hosts)
    host->request("set", params.empty() ? make_collector_params(host->settings()) : params, 5s,
                  [all, names, problem, name = host->name()](const host_answer& answer) {
                    if (answer.good())
                      names->push_back(name);
                    else
                      *problem = "sandbox " + name + ": " + answer.message;
                  });
}

// The address as the host wants it: a text of hexadecimal digits, since JSON's numbers end at 2^53.
void ask_why(daemon& of, const call_handle& made) {
  const std::string address = made->text("address");
  const std::string_view digits =
      std::string_view(address).starts_with("0x") ? std::string_view(address).substr(2) : std::string_view(address);
  if (digits.empty() || digits.size() > 16 ||
      digits.find_first_not_of("0123456789abcdefABCDEF") != std::string_view::npos)
    throw rpc_error(error_kind::invalid_params, "\"" + protocol::clean_text(address, 64) + "\" is no address",
                    {{"pointer", "/params/address"}, {"hint", "such as 0x4c0f12a3b040, in hexadecimal digits"}});
  ask_hosts(made, {&of.sandbox(made->text("sandbox", default_sandbox(of)))}, "heap.why",
            {{"address", std::string(digits)}}, [made](const host_answers& answers) {
              const json& part = answers.parts.begin()->second;
              if (const std::string problem = protocol::text_field(part, "problem", 512); !problem.empty())
                return made->fail(error_kind::not_found, problem);
              const auto object_of = [](const json& from) {
                json one = {{"address", protocol::text_field(from, "address", 32)},
                            {"size", protocol::integer_field(from, "size", 0, 0, most_bytes)},
                            {"offset", protocol::integer_field(from, "offset", 0, 0, most_bytes)},
                            {"task", protocol::text_field(from, "task", protocol::max_name_bytes)}};
                return one;
              };
              const json& root = protocol::member(part, "root");
              json steps = json::array();
              constexpr std::size_t most_steps = 1000;
              if (const json& told = protocol::member(part, "steps"); told.is_array())
                for (const json& step : told)
                  if (steps.size() < most_steps) steps.push_back(object_of(step));
              made->reply({{"sandbox", answers.parts.begin()->first},
                           {"object", object_of(protocol::member(part, "object"))},
                           {"root",
                            {{"kind", protocol::text_field(root, "kind", 128)},
                             {"address", protocol::text_field(root, "address", 32)},
                             {"green_thread", protocol::integer_field(root, "green_thread", 0, 0, INT64_MAX)},
                             {"place", protocol::text_field(root, "place", 512)}}},
                           {"steps", std::move(steps)},
                           {"steps_left_out", protocol::integer_field(part, "steps_left_out", 0, 0, INT64_MAX)},
                           {"objects_looked_at", protocol::integer_field(part, "objects_looked_at", 0, 0, INT64_MAX)}});
            });
}

// What the host says is handed on as it is, if it is bytes in base64 at all; a frame of the link bounds its size.
void ask_profile(daemon& of, const call_handle& made) {
  json params = {{"collect", made->flag("collect", false)}};
  std::string sandbox = made->has("sandbox") ? made->text("sandbox") : default_sandbox(of);
  if (made->has("task")) {
    const managed_task& task = of.tasks().get(made->text("task"));
    if (made->has("sandbox") && sandbox != task.spec.sandbox)
      throw rpc_error(error_kind::not_found, "task " + task.name + " runs in sandbox " + task.spec.sandbox,
                      {{"pointer", "/params/sandbox"}});
    sandbox = task.spec.sandbox;
    params["task"] = task.name;
  }
  ask_hosts(made, {&of.sandbox(sandbox)}, "heap.profile", params, [made](const host_answers& answers) {
    const json& profile = protocol::member(answers.parts.begin()->second, "profile");
    if (!profile.is_string() || !protocol::is_base64(profile.get_ref<const std::string&>()))
      return made->fail(error_kind::unavailable, "the host of sandbox " + answers.parts.begin()->first +
                                                     " answered with something else than a profile");
    made->reply({{"sandbox", answers.parts.begin()->first}, {"profile", profile}});
  });
}

}  // namespace

void register_heap_methods(control_server& server, daemon& of) {
  server.handle("gc.run", [&of](const call_handle& made) {
    ask_hosts(made, chosen_sandboxes(of, made), "gc", json::object(), [made](const host_answers& answers) {
      json list = json::array();
      for (const auto& [name, part] : answers.parts) {
        const auto bytes = [&part = part](const char* key) {
          return protocol::integer_field(part, key, 0, 0, INT64_MAX);
        };
        list.push_back({{"name", name},
                        {"live_bytes", bytes("live_bytes")},
                        {"heap_bytes", bytes("heap_bytes")},
                        {"stack_bytes", bytes("stack_bytes")},
                        {"malloc_bytes", bytes("malloc_bytes")},
                        {"duration_seconds", protocol::number_field(part, "duration_seconds", 0, 0, 1e9)}});
      }
      made->reply({{"sandboxes", std::move(list)}});
    });
  });
  server.handle("gc.set", [&of](const call_handle& made) { set_collector(of, made); });
  server.handle("gc.stats", [&of](const call_handle& made) { with_heaps(of, made, collector_of); });
  server.handle("heap.stats", [&of](const call_handle& made) {
    with_heaps(of, made, [&of](const managed_sandbox& sandbox) { return heap_of(of, sandbox); });
  });
  server.handle("heap.profile", [&of](const call_handle& made) { ask_profile(of, made); });
  server.handle("heap.why", [&of](const call_handle& made) { ask_why(of, made); });
}

}  // namespace rtd::supervisor
