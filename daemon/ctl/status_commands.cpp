// rtctl status, rtctl version
#include <array>
#include <memory>

#include "daemon/ctl/command_line.h"
#include "daemon/ctl/exit_code.h"
#include "daemon/ctl/fields.h"
#include "daemon/ctl/units.h"
#include "daemon/ctl/views.h"
#include "daemon/protocol/version.h"

namespace rtd::ctl {
namespace {

using nlohmann::json;

// "4: 3 running, 1 failed"; the states in the order of interest, those without a task left out.
std::string task_counts(const json& tasks) {
  constexpr std::array<const char*, 9> order{"running", "listening", "starting", "backoff",  "failed",
                                             "fatal",   "stopping",  "stopped",  "completed"};
  std::string list;
  for (const char* state : order)
    if (const std::string count = count_of(tasks, state, "0"); count != "0")
      list += (list.empty() ? ": " : ", ") + count + " " + state;
  const std::string total = count_of(tasks, "total", "");
  if (total == "0") return "none";
  return total + list;
}

std::string config_summary(const json& config) {
  std::string text = text_of(config, "file");
  if (text.empty()) text = "built-in";
  text += ", generation " + count_of(config, "generation");
  if (const std::string at = text_of(config, "loaded_at"); !at.empty()) text += ", loaded " + local_time(at);
  return text;
}

void print_status(console& terminal, const json& status, bool is_ready) {
  const auto line = [&](std::string_view title, const std::string& value) {
    std::string padded(title);
    padded.resize(15, ' ');
    terminal.write("  " + terminal.painted(padded, tone::faint) + safe_line(value) + '\n');
  };
  const tone mood = is_ready ? tone::good : tone::bad;
  terminal.write(terminal.painted("●", mood) + " rtd " + safe_line(text_of(status, "version")) + "  " +
                 terminal.painted(is_ready ? "ready" : "not ready", mood) + '\n');
  line("Process", count_of(status, "pid") + ", up " + format_age(number_of(status, "uptime_seconds")));
  line("Config", config_summary(member_of(status, "config")));
  if (const json& good = member_of(member_of(status, "config"), "last_reload_ok"); good == false)
    line("", "the last reload was refused: `rtctl config check` says why");
  if (const std::string http = text_of(status, "http"); !http.empty())
    line("Metrics", "http://" + http + "/metrics");
  else
    line("Metrics", "off");
  if (const json& state = member_of(status, "state"); state.is_object()) {
    const std::string problem = text_of(state, "problem");
    const std::string saved = text_of(state, "saved_at");
    line("State", text_of(state, "file") + (saved.empty() ? "" : ", saved " + local_time(saved)));
    if (!problem.empty()) line("", "it is not saved: " + problem);
  }
  line("Tasks", task_counts(member_of(status, "tasks")));
  line("Green threads", count_of(status, "green_threads"));
  for (const json& check : list_of(status, "checks")) {
    const bool is_good = flag_of(check, "ok");
    if (is_good && !terminal.is_wide()) continue;
    const std::string detail = text_of(check, "detail");
    std::string title = is_good ? "Check" : "Failing";
    title.resize(15, ' ');
    terminal.write("  " + terminal.painted(title, is_good ? tone::faint : tone::bad) +
                   safe_line(text_of(check, "name") + (detail.empty() ? "" : ": " + detail)) + '\n');
  }
  for (const json& task : list_of(status, "troubled_tasks")) {
    const std::string state = text_of(task, "state");
    std::string title = state == "fatal" ? "Given up" : "Tried again";
    title.resize(15, ' ');
    const std::string next = next_start_text(task);
    const std::string why = task_remark(task);
    terminal.write(
        "  " + terminal.painted(title, state == "fatal" ? tone::bad : tone::warning) +
        safe_line(text_of(task, "name") + (next.empty() ? "" : " " + next) + (why.empty() ? "" : ": " + why)) + '\n');
  }
  terminal.write("\n");
  terminal.write_table(sandbox_table(list_of(status, "sandboxes"), terminal.is_wide()), "No sandboxes.");
}

int show_status(command_context& context) {
  console& terminal = context.terminal();
  json status = context.call("status");
  sort_list(status, "sandboxes", "name");
  const bool is_ready = flag_of(status, "ready");
  if (terminal.is_json())
    terminal.write_json(status);
  else if (!terminal.is_quiet())
    print_status(terminal, status, is_ready);
  return static_cast<int>(is_ready ? exit_code::ok : exit_code::not_ready);
}

int show_version(command_context& context, bool client_only) {
  console& terminal = context.terminal();
  json both{{"client",
             {{"version", protocol::version()},
              {"protocol", protocol::control_protocol},
              {"compiler", protocol::compiler()}}}};
  const std::string client_line = "rtctl " + std::string(protocol::version()) + ", control protocol " +
                                  std::to_string(protocol::control_protocol) + ", " +
                                  std::string(protocol::compiler()) + '\n';
  // The client's line comes even when no rtd answers.
  if (!terminal.is_json()) terminal.write(client_line);
  if (!client_only) {
    const json server = context.call("version");
    if (!terminal.is_json())
      terminal.write("rtd   " + safe_line(text_of(server, "version")) + ", control protocol " +
                     count_of(server, "protocol") + ", plugin ABI " + count_of(server, "abi") + ", " +
                     safe_line(text_of(server, "compiler")) + '\n');
    both["server"] = server;
  }
  if (terminal.is_json()) terminal.write_json(both);
  return 0;
}

}  // namespace

void add_status_commands(command_line& line) {
  line.add_command(line.root(), "status", "Whether rtd is ready (else exit status 3), and its sandboxes", show_status);
  auto client_only = std::make_shared<bool>(false);
  auto& version =
      line.add_command(line.root(), "version", "The versions of rtctl and rtd",
                       [client_only](command_context& context) { return show_version(context, *client_only); });
  version.add_flag("--client", *client_only, "Do not ask rtd");
}

}  // namespace rtd::ctl
