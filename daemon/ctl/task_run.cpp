#include "daemon/ctl/task_run.h"

#include <cmath>

#include "daemon/ctl/error.h"
#include "daemon/ctl/fields.h"
#include "daemon/ctl/text.h"
#include "daemon/ctl/units.h"
#include "daemon/ctl/views.h"

namespace rtd::ctl {
namespace {

using nlohmann::json;

// rtd notes the end of a task when it notes that of its host; notes that are further apart are of different ends.
constexpr double same_end_seconds = 2;

json request_of(const run_request& request) {
  json parameters{{"plugin", request.plugin}, {"entry", request.entry}};
  if (!request.name.empty()) parameters["name"] = request.name;
  if (!request.sandbox.empty()) parameters["sandbox"] = request.sandbox;
  if (!request.restart.empty())
    parameters["restart"] = request.restart;
  else if (request.wait)
    parameters["restart"] = "never";  // whoever waits wants to know how this run ends
  if (request.weight != 0) parameters["weight"] = request.weight;
  if (!request.scheduling.empty()) parameters["class"] = request.scheduling;
  if (request.keep) parameters["keep"] = true;
  if (!request.parameters.empty()) parameters["params"] = parameters_of(request.parameters);
  return parameters;
}

void show_started(console& terminal, const json& answer, const std::string& name) {
  const json& task = member_of(answer, "task");
  if (terminal.is_json())
    terminal.write_json(answer);
  else if (terminal.is_quiet())
    terminal.write(name + '\n');
  else
    terminal.report("task " + name + " started in sandbox " + safe_line(text_of(task, "sandbox")));
}

int wait_for_end(command_context& context, const std::string& name) {
  console& terminal = context.terminal();
  json ended;
  try {
    ended = context.call_and_wait("task.wait", {{"name", name}});
  } catch (const command_error& problem) {
    if (problem.code() != exit_code::timed_out) throw;
    terminal.complain("task " + name + " has not ended in time; it goes on",
                      "`rtctl task wait " + name + "` waits on, `rtctl task stop " + name + "` ends it");
    return run_timed_out;
  }
  const json& task = member_of(ended, "task");
  const std::string state = safe_line(text_of(task, "state"));
  int status = status_of_ended_task(context, task);
  // Somebody has stopped it: it has not done what it was run for.
  if (status == 0 && state != "completed") status = static_cast<int>(exit_code::failed);
  if (terminal.is_json()) {
    terminal.write_json(ended);
  } else if (status == 0) {
    terminal.report("task " + name + " " + state);
  } else {
    const std::string remark = safe_line(task_remark(task));
    terminal.complain("task " + name + " " + state + (remark.empty() ? "" : ": " + remark),
                      "see `rtctl logs --task " + name + "`");
  }
  return status;
}

}  // namespace

json parameters_of(const std::vector<std::string>& assignments) {
  json parameters = json::object();
  for (const std::string& text : assignments) {
    const std::size_t sign = text.find('=');
    if (sign == std::string::npos || sign == 0)
      throw command_error(exit_code::usage, "--param \"" + safe_line(text) + "\" is not KEY=VALUE",
                          "write --param listen=127.0.0.1:8080");
    json& place = parameters[text.substr(0, sign)];
    const std::string value = text.substr(sign + 1);
    if (place.is_null())
      place = value;
    else if (place.is_array())
      place.push_back(value);
    else
      place = json::array({place, value});
  }
  return parameters;
}

int status_of_ended_task(command_context& context, const json& task) {
  const int status = exit_status_of_task(task);
  const json& last = member_of(task, "last_exit");
  const std::string reason = text_of(last, "reason");
  const auto ended_at = parse_time(text_of(last, "at"));
  if (status != static_cast<int>(exit_code::failed) || (reason != "crashed" && reason != "host") || !ended_at)
    return status;
  const json sandboxes = context.call("sandbox.list");
  for (const json& sandbox : list_of(sandboxes, "sandboxes")) {
    if (text_of(sandbox, "name") != text_of(task, "sandbox")) continue;
    const json& exit = member_of(sandbox, "last_exit");
    const auto died_at = parse_time(text_of(exit, "at"));
    const auto signal = signal_number(member_of(exit, "signal"));
    if (signal && died_at && std::abs(*died_at - *ended_at) <= same_end_seconds) return signal_base + *signal;
  }
  return status;
}

int run_task(command_context& context, const run_request& request) {
  const json parameters = request_of(request);
  if (!request.wait) {
    const json answer = context.call("task.run", parameters);
    show_started(context.terminal(), answer, safe_line(text_of(member_of(answer, "task"), "name")));
    return 0;
  }
  try {
    const json answer = context.call("task.run", parameters);
    const std::string name = text_of(member_of(answer, "task"), "name");
    if (!context.terminal().is_json()) {
      show_started(context.terminal(), answer, safe_line(name));
      context.terminal().flush();
    }
    return wait_for_end(context, name);
  } catch (const command_error& problem) {
    context.terminal().complain(problem.what(), problem.hint());
    return problem.code() == exit_code::timed_out ? run_timed_out : run_could_not;
  }
}

}  // namespace rtd::ctl
