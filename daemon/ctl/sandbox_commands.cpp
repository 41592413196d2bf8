// rtctl sandbox ls|inspect|learn|restart
#include <cstdint>
#include <memory>

#include "daemon/ctl/command_line.h"
#include "daemon/ctl/error.h"
#include "daemon/ctl/fields.h"
#include "daemon/ctl/units.h"
#include "daemon/ctl/views.h"

namespace rtd::ctl {
namespace {

using nlohmann::json;

int list_sandboxes(command_context& context) {
  console& terminal = context.terminal();
  json answer = context.call("sandbox.list");
  sort_list(answer, "sandboxes", "name");
  if (terminal.is_json())
    terminal.write_json(answer, "sandboxes");
  else if (terminal.is_quiet())
    terminal.write(names_of(list_of(answer, "sandboxes")));
  else
    terminal.write_table(sandbox_table(list_of(answer, "sandboxes"), terminal.is_wide()), "No sandboxes.");
  return 0;
}

// "SIGSEGV (SEGV_MAPERR) at 0x0, stack overflow, in task greeter, plugin hello, green thread 7"
std::string crash_summary(const json& crash) {
  std::string text = text_of(crash, "signal");
  if (const std::string code = text_of(crash, "code"); !code.empty()) text += " (" + code + ")";
  if (const std::string address = text_of(crash, "address"); !address.empty()) text += " at " + address;
  if (flag_of(crash, "stack_overflow")) text += ", stack overflow";
  if (const std::string task = text_of(crash, "task"); !task.empty()) text += ", in task " + task;
  if (const std::string plugin = text_of(crash, "plugin"); !plugin.empty()) text += ", plugin " + plugin;
  if (const std::string thread = count_of(crash, "green_thread", "0"); thread != "0")
    text += ", green thread " + thread;
  return text;
}

// The last system calls that the sandbox refused, each with its stack.
void print_violations(console& terminal, const json& all) {
  if (all.empty()) return;
  terminal.write("\n" + terminal.painted("Last refused calls", tone::strong) + '\n');
  for (const json& one : all) {
    std::string arguments;
    for (const json& argument : list_of(one, "arguments"))
      if (argument.is_string()) arguments += (arguments.empty() ? "" : ", ") + argument.get<std::string>();
    std::string line = text_of(one, "at") + "  " + text_of(one, "call") + "(" + arguments + ")";
    if (const std::string task = text_of(one, "task"); !task.empty()) line += ", task " + task;
    if (const std::string plugin = text_of(one, "plugin"); !plugin.empty()) line += ", plugin " + plugin;
    terminal.write(safe_line(line) + '\n');
    for (const json& frame : list_of(one, "stack"))
      if (frame.is_string()) terminal.write("    " + safe_line(frame.get<std::string>()) + '\n');
  }
}

void print_sandbox(console& terminal, const json& sandbox) {
  const json& exit = member_of(sandbox, "last_exit");
  table facts({{""}, {""}});
  facts.add({"Name", {text_of(sandbox, "name"), tone::strong}});
  facts.add({"State", state_cell(sandbox)});
  facts.add({"Process", count_of(sandbox, "pid")});
  facts.add({"Uptime", age_text(sandbox, "uptime_seconds")});
  facts.add({"Restarts", count_of(sandbox, "restarts")});
  facts.add({"Processors", count_of(sandbox, "procs")});
  facts.add({"Green threads", count_of(sandbox, "green_threads")});
  facts.add({"Memory", format_bytes(number_of(sandbox, "rss_bytes"))});
  std::string layers;
  for (const json& layer : list_of(sandbox, "layers"))
    if (layer.is_string()) layers += (layers.empty() ? "" : ", ") + layer.get<std::string>();
  if (const std::string mode = text_of(sandbox, "isolation"); !mode.empty())
    facts.add({"Isolation", {mode, mode == "none" ? tone::warning : tone::plain}});
  if (!layers.empty()) facts.add({"Confined by", layers});
  for (const json& layer : list_of(sandbox, "missing_layers")) {
    std::string text = text_of(layer, "name") + ": " + text_of(layer, "reason");
    if (const std::string remedy = text_of(layer, "remedy"); !remedy.empty()) text += " (" + remedy + ")";
    facts.add({"Missing", {text, tone::warning}});
  }
  if (const std::string refused = count_of(sandbox, "violations_total", "0"); refused != "0")
    facts.add({"Refused calls", {refused, tone::warning}});
  if (const std::string why = text_of(sandbox, "fatal_reason"); !why.empty()) facts.add({"Given up", {why, tone::bad}});
  if (const std::string text = last_exit_text(exit); !text.empty()) facts.add({"Last exit", text});
  const json& crash = member_of(exit, "crash");
  if (crash.is_object()) facts.add({"Crash", {crash_summary(crash), tone::bad}});
  terminal.write(facts.render({.headers = false, .colour = terminal.colour()}));
  print_violations(terminal, list_of(sandbox, "violations"));
  const json& stack = list_of(crash, "stack");
  if (stack.empty()) return;
  terminal.write("\n" + terminal.painted("Stack of the crash", tone::strong) + '\n');
  for (const json& frame : stack)
    if (frame.is_string()) terminal.write("  " + safe_line(frame.get<std::string>()) + '\n');
}

int inspect_sandbox(command_context& context, const std::string& name) {
  console& terminal = context.terminal();
  const json answer = context.call("sandbox.list");
  for (const json& sandbox : list_of(answer, "sandboxes")) {
    if (text_of(sandbox, "name") != name) continue;
    if (terminal.is_json())
      terminal.write_json(sandbox);
    else
      print_sandbox(terminal, sandbox);
    return 0;
  }
  throw command_error(exit_code::not_found, "there is no sandbox \"" + safe_line(name) + "\"",
                      "`rtctl sandbox ls` lists them");
}

int restart_sandbox(command_context& context, const std::string& name) {
  console& terminal = context.terminal();
  const json answer = context.call_and_wait("sandbox.restart", {{"name", name}});
  if (terminal.is_json())
    terminal.write_json(answer);
  else
    terminal.report("sandbox " + safe_line(name) +
                    " restarted: " + safe_line(text_of(member_of(answer, "sandbox"), "state")) + ", process " +
                    count_of(member_of(answer, "sandbox"), "pid"));
  return 0;
}

int learn_sandbox(command_context& context, const std::string& name, double seconds) {
  console& terminal = context.terminal();
  const json answer = context.call_and_wait("sandbox.learn", {{"name", name}, {"seconds", seconds}});
  if (terminal.is_json()) {
    terminal.write_json(answer);
    return 0;
  }
  const json& grants = member_of(answer, "grants");
  if (grants.empty())
    terminal.report("the plugins of sandbox " + safe_line(name) + " used nothing that has to be granted");
  else
    terminal.write("\"isolation\": " + json{{"grants", grants}}.dump(2, ' ', true, json::error_handler_t::replace) +
                   "\n");
  return 0;
}

}  // namespace

void add_sandbox_commands(command_line& line) {
  auto& group = line.add_group("sandbox", "The sandboxes: the processes that run plugins");
  line.add_command(group, "ls", "The sandboxes, with state, process, restarts and memory", list_sandboxes);
  auto name = std::make_shared<std::string>();
  auto& inspect = line.add_command(group, "inspect", "One sandbox, with the report of its last crash",
                                   [name](command_context& context) { return inspect_sandbox(context, *name); });
  line.hint(inspect.add_option("NAME", *name, "The sandbox's name")->required(), value_source::sandboxes);
  auto seconds = std::make_shared<double>(10);
  auto& learn = line.add_command(
      group, "learn", "Run a sandbox without isolation for a while and propose what its configuration has to grant",
      [name, seconds](command_context& context) { return learn_sandbox(context, *name, *seconds); });
  line.hint(learn.add_option("NAME", *name, "The sandbox's name")->required(), value_source::sandboxes);
  learn.add_option("--seconds", *seconds, "How long to look on")
      ->check(CLI::Range(0.1, 86400.0))
      ->capture_default_str();
  auto& restart = line.add_command(group, "restart", "Stop a sandbox with all its tasks and start it anew",
                                   [name](command_context& context) { return restart_sandbox(context, *name); });
  line.hint(restart.add_option("NAME", *name, "The sandbox's name")->required(), value_source::sandboxes);
}

}  // namespace rtd::ctl
