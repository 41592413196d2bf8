// rtctl ps, rtctl task …
#include <memory>
#include <utility>

#include "daemon/ctl/command_line.h"
#include "daemon/ctl/error.h"
#include "daemon/ctl/fields.h"
#include "daemon/ctl/task_run.h"
#include "daemon/ctl/units.h"
#include "daemon/ctl/views.h"

namespace rtd::ctl {
namespace {

using nlohmann::json;

constexpr const char* keep_text = "Start it again when rtd is started again, until it has ended or is stopped";

struct list_choice {
  std::string sandbox;
  bool wide = false;
};

int list_tasks(command_context& context, const list_choice& choice) {
  console& terminal = context.terminal();
  json parameters = json::object();
  if (!choice.sandbox.empty()) parameters["sandbox"] = choice.sandbox;
  json answer = context.call("ps", parameters);
  sort_list(answer, "tasks", "name");
  if (terminal.is_json())
    terminal.write_json(answer, "tasks");
  else if (terminal.is_quiet())
    terminal.write(names_of(list_of(answer, "tasks")));
  else
    terminal.write_table(task_table(list_of(answer, "tasks"), terminal.is_wide()),
                         choice.sandbox.empty()
                             ? "No tasks. Start one with `rtctl task run PLUGIN ENTRY`, or configure it."
                             : "No tasks in sandbox " + safe_line(choice.sandbox) + ".");
  return 0;
}

void add_list(command_line& line, CLI::App& parent, const std::string& name) {
  auto choice = std::make_shared<list_choice>();
  auto& command = line.add_command(parent, name, "The tasks, with their state, age, processor time and green threads",
                                   [choice](command_context& context) { return list_tasks(context, *choice); });
  line.hint(command.add_option("--sandbox", choice->sandbox, "Only the tasks of this sandbox")->type_name("NAME"),
            value_source::sandboxes);
  command.add_flag_callback(
      "-w,--wide", [&line] { line.options().format = "wide"; }, "More columns: the same as -o wide");
}

// Does something to each named task; the first failure gives the exit status, and the others are still tried.
template <class Work>
int for_each_task(command_context& context, const std::vector<std::string>& names, Work work) {
  int status = 0;
  for (const std::string& name : names) {
    try {
      const int its_status = work(name);
      if (status == 0) status = its_status;
    } catch (const request_error& problem) {
      context.terminal().complain(problem.what(), problem.hint());
      if (status == 0) status = static_cast<int>(problem.code());
    }
  }
  return status;
}

struct change_choice {
  std::vector<std::string> names;
  std::string grace;
  bool now = false;
  bool keep = false;
};

using change = std::function<int(command_context&, const std::string& name, const change_choice&)>;

CLI::App& add_change(command_line& line, CLI::App& group, const std::string& name, const std::string& description,
                     value_source source, std::shared_ptr<change_choice> choice, change work) {
  auto& command =
      line.add_command(group, name, description, [choice, work = std::move(work)](command_context& context) {
        return for_each_task(context, choice->names,
                             [&](const std::string& task) { return work(context, task, *choice); });
      });
  line.hint(command.add_option("NAME", choice->names, "The names of the tasks")->required(), source);
  return command;
}

void show_change(command_context& context, const json& answer, const std::string& sentence) {
  console& terminal = context.terminal();
  if (terminal.is_json())
    terminal.write_json(answer);
  else
    terminal.report(sentence);
}

int stop_task(command_context& context, const std::string& name, const change_choice& choice) {
  json parameters{{"name", name}};
  if (!choice.grace.empty()) parameters["grace_seconds"] = parse_seconds(choice.grace).value_or(0);
  if (choice.now) parameters["now"] = true;
  const json answer = context.call_and_wait("task.stop", parameters);
  show_change(context, answer,
              "task " + safe_line(name) + " " + safe_line(text_of(member_of(answer, "task"), "state")));
  return 0;
}

int start_task(command_context& context, const std::string& name, const change_choice& choice) {
  json parameters{{"name", name}};
  if (choice.keep) parameters["keep"] = true;
  show_change(context, context.call("task.start", parameters), "task " + safe_line(name) + " started");
  return 0;
}

int restart_task(command_context& context, const std::string& name, const change_choice&) {
  show_change(context, context.call_and_wait("task.restart", {{"name", name}}),
              "task " + safe_line(name) + " restarted");
  return 0;
}

int wait_for_task(command_context& context, const std::string& name, const change_choice&) {
  const json answer = context.call_and_wait("task.wait", {{"name", name}});
  const json& task = member_of(answer, "task");
  const std::string remark = text_of(task, "state") == "completed" ? "" : task_remark(task);
  show_change(context, answer,
              "task " + safe_line(name) + " " + safe_line(text_of(task, "state")) +
                  (remark.empty() ? "" : ": " + safe_line(remark)));
  return status_of_ended_task(context, task);
}

// A value of the parameters or of the restart policy, as the config file would have it.
std::string shown_value(const json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (!value.is_array()) return value.dump();
  std::string text;
  for (const json& element : value) text += (text.empty() ? "" : ", ") + shown_value(element);
  return text;
}

void print_object(console& terminal, std::string_view title, const json& object) {
  if (!object.is_object() || object.empty()) return;
  terminal.write("\n" + terminal.painted(title, tone::strong) + '\n');
  table rows({{""}, {""}});
  for (const auto& [key, value] : object.items()) rows.add({"  " + key, shown_value(value)});
  terminal.write(rows.render({.headers = false, .colour = terminal.colour()}));
}

// Those that are none are 0.
json limits_in_force(const json& limits) {
  json result = json::object();
  if (!limits.is_object()) return result;
  for (const auto& [key, value] : limits.items())
    if (value != 0) result[key] = value;
  return result;
}

void print_task(console& terminal, const json& answer) {
  const json& task = member_of(answer, "task");
  table facts({{""}, {""}});
  facts.add({"Name", {text_of(task, "name"), tone::strong}});
  facts.add({"State", state_cell(task)});
  facts.add({"Sandbox", text_of(task, "sandbox")});
  facts.add({"Plugin", text_of(task, "plugin") + ", entry " + text_of(task, "entry")});
  facts.add({"Configured", flag_of(task, "configured") ? "yes" : "no, started by task run"});
  if (flag_of(task, "keep")) facts.add({"Kept", "started again with rtd, until it has ended or is stopped"});
  facts.add({"Age", age_text(task, "age_seconds")});
  facts.add({"CPU", format_seconds(number_of(task, "cpu_seconds"))});
  facts.add({"Share", "weight " + count_of(answer, "weight") + ", class " + text_of(answer, "class")});
  std::string ladder;
  for (const char* rung : {"drain", "cancel"})
    if (const auto time = number_of(answer, std::string(rung) + "_timeout_seconds"); time && *time > 0)
      ladder += std::string(rung) + " " + format_seconds(time) + ", ";
  facts.add({"Stop", ladder + "unwind " + format_seconds(number_of(answer, "stop_timeout_seconds")) + ", kill"});
  if (const std::string rung = text_of(answer, "last_stop"); !rung.empty())
    facts.add({"Last stop", "ended by " + rung});
  facts.add({"Green threads", count_of(task, "green_threads")});
  facts.add({"Restarts", count_of(task, "restarts")});
  if (const std::string next = next_start_text(task); !next.empty()) facts.add({"Next start", next});
  if (const std::string waits = text_of(task, "waits"); !waits.empty()) facts.add({"Waits", {waits, tone::warning}});
  for (const auto& [title, key] : {std::pair("After", "after"), std::pair("Requires", "requires")})
    if (const json& names = list_of(answer, key); !names.empty()) facts.add({title, shown_value(names)});
  if (const std::string status = text_of(task, "status"); !status.empty()) facts.add({"Status", status});
  if (const std::string exit = last_exit_text(member_of(task, "last_exit")); !exit.empty())
    facts.add({"Last exit", {exit, tone_of_state(text_of(task, "state"))}});
  terminal.write(facts.render({.headers = false, .colour = terminal.colour()}));
  print_object(terminal, "Parameters", member_of(answer, "params"));
  print_object(terminal, "Limits", limits_in_force(member_of(answer, "limits")));
  print_object(terminal, "Schedule", member_of(answer, "schedule"));
  print_object(terminal, "Restart", member_of(answer, "restart"));
  table history({{""}, {""}, {""}});
  for (const json& event : list_of(answer, "history"))
    history.add({"  " + local_time(text_of(event, "time")), state_cell(event), text_of(event, "message")});
  if (history.empty()) return;
  terminal.write("\n" + terminal.painted("History", tone::strong) + '\n');
  terminal.write(history.render({.headers = false, .colour = terminal.colour()}));
}

int inspect_task(command_context& context, const std::string& name) {
  console& terminal = context.terminal();
  const json answer = context.call("task.inspect", {{"name", name}});
  if (terminal.is_json())
    terminal.write_json(answer);
  else
    print_task(terminal, answer);
  return 0;
}

void add_run(command_line& line, CLI::App& group) {
  auto request = std::make_shared<run_request>();
  auto& command = line.add_command(group, "run", "Start a task that is not in the config",
                                   [request](command_context& context) { return run_task(context, *request); });
  line.hint(command.add_option("PLUGIN", request->plugin, "The plugin's name in the config")->required(),
            value_source::plugins);
  line.hint(command.add_option("ENTRY", request->entry, "One of the plugin's entries")->required(),
            value_source::entries);
  command.add_option("--name", request->name, "The task's name (default: made of plugin, entry and a number)")
      ->type_name("NAME");
  line.hint(command.add_option("--sandbox", request->sandbox, "Where it runs (default: default)")->type_name("NAME"),
            value_source::sandboxes);
  command.add_option("--param", request->parameters, "A parameter; the same key again makes a list")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  line.choices(command
                   .add_option("--restart", request->restart,
                               "always, on-failure or never (default: on-failure, with --wait never)")
                   ->type_name("POLICY"),
               {"always", "on-failure", "never"});
  limit_to(command
               .add_option("--weight", request->weight,
                           "Its part of the CPU beside other tasks, 1 to 10000 (default: 100, of a batch task 1)")
               ->type_name("WEIGHT"),
           1, 10'000);
  line.choices(command.add_option("--class", request->scheduling, "batch, normal or latency (default: normal)")
                   ->type_name("CLASS"),
               {"batch", "normal", "latency"});
  command.add_flag("--keep", request->keep, keep_text);
  command.add_flag("--wait", request->wait,
                   "Wait for its end. Exit status: 0 completed, 1 failed, 124 --timeout passed, 125 rtd could not run "
                   "it, 128+n its host died by signal n");
}

}  // namespace

void add_task_commands(command_line& line) {
  add_list(line, line.root(), "ps");
  auto& group = line.add_group("task", "Run, stop, start, restart, inspect and await tasks");
  add_run(line, group);
  auto stop = std::make_shared<change_choice>();
  auto& stop_command = add_change(line, group, "stop", "Stop tasks and wait until they have ended",
                                  value_source::running_tasks, stop, stop_task);
  stop_command
      .add_option_function<std::string>(
          "--grace",
          [stop](const std::string& value) {
            seconds_of_option("--grace", value);
            stop->grace = value;
          },
          "How long a task may take to unwind (default: its stop_timeout)")
      ->type_name("TIME");
  stop_command.add_flag("--now", stop->now, "Begin with unwinding: leave out its drain_timeout and cancel_timeout");
  auto start = std::make_shared<change_choice>();
  add_change(line, group, "start", "Start tasks that do not run", value_source::ended_tasks, start, start_task)
      .add_flag("--keep", start->keep, keep_text);
  add_change(line, group, "restart", "Stop tasks and start them again", value_source::tasks,
             std::make_shared<change_choice>(), restart_task);
  auto name = std::make_shared<std::string>();
  auto& inspect = line.add_command(group, "inspect", "A task's parameters, restart policy and history",
                                   [name](command_context& context) { return inspect_task(context, *name); });
  line.hint(inspect.add_option("NAME", *name, "The task's name")->required(), value_source::tasks);
  add_change(line, group, "wait",
             "Wait until tasks have ended; exit status 0 completed or stopped, 1 failed, 128+n its "
             "host died by signal n",
             value_source::running_tasks, std::make_shared<change_choice>(), wait_for_task);
  add_list(line, group, "ls");
}

}  // namespace rtd::ctl
