// rtctl stacks, rtctl log-level
#include <memory>
#include <optional>

#include "daemon/ctl/command_line.h"
#include "daemon/ctl/fields.h"
#include "daemon/ctl/units.h"
#include "daemon/ctl/views.h"

namespace rtd::ctl {
namespace {

using nlohmann::json;

int show_stacks(command_context& context, const std::string& sandbox, const std::string& task,
                std::optional<int> limit) {
  console& terminal = context.terminal();
  json parameters = json::object();
  if (!sandbox.empty()) parameters["sandbox"] = sandbox;
  if (!task.empty()) parameters["task"] = task;
  if (limit) parameters["limit"] = *limit;
  const json answer = context.call("stacks", parameters);
  if (terminal.is_json()) {
    terminal.write_json(answer);
    return 0;
  }
  std::string text = safe_block(text_of(answer, "text"));
  if (text.empty()) {
    terminal.note("No green threads.");
    return 0;
  }
  if (text.back() != '\n') text += '\n';
  terminal.write(text);
  return 0;
}

int set_log_level(command_context& context, const std::string& level) {
  const json answer = context.call("log_level", {{"level", level}});
  if (context.terminal().is_json())
    context.terminal().write_json(answer);
  else
    context.terminal().report("log level is " + safe_line(level));
  return 0;
}

}  // namespace

void add_daemon_commands(command_line& line) {
  auto sandbox = std::make_shared<std::string>();
  auto task = std::make_shared<std::string>();
  auto limit = std::make_shared<std::optional<int>>();
  auto& stacks =
      line.add_command(line.root(), "stacks", "The stacks of the green threads",
                       [=](command_context& context) { return show_stacks(context, *sandbox, *task, *limit); });
  line.hint(stacks.add_option("--sandbox", *sandbox, "Only of this sandbox")->type_name("NAME"),
            value_source::sandboxes);
  line.hint(stacks.add_option("--task", *task, "Only of this task")->type_name("NAME"), value_source::running_tasks);
  limit_to(
      stacks.add_option("-n,--limit", *limit, "At most this many of each sandbox (default: 1000)")->type_name("COUNT"),
      1, 100'000);

  auto level = std::make_shared<std::string>();
  auto& log_level =
      line.add_command(line.root(), "log-level", "Change what rtd and its sandboxes log, until it restarts",
                       [level](command_context& context) { return set_log_level(context, *level); });
  line.choices(log_level.add_option("LEVEL", *level, "debug, info, warn or error")->required(),
               {"debug", "info", "warn", "error"});
}

}  // namespace rtd::ctl
