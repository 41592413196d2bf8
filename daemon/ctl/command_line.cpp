#include "daemon/ctl/command_line.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <memory>
#include <utility>

#include "daemon/ctl/error.h"
#include "daemon/ctl/help.h"
#include "daemon/ctl/text.h"
#include "daemon/ctl/units.h"
#include "daemon/protocol/text.h"
#include "daemon/protocol/version.h"

namespace rtd::ctl {
namespace {

constexpr const char* default_socket = "/run/rtd/control.sock";

constexpr const char* root_footer =
    "Exit status: 0 done, 1 failed, 2 wrong usage, 3 not ready or not running, 4 permission denied, 5 not found,\n"
    "6 invalid config, 7 rtd cannot be reached, 8 timed out. `task run --wait` has the task's own.\n"
    "Environment: RTD_SOCKET, NO_COLOR. More about a command: rtctl COMMAND --help";

std::string socket_from_environment() {
  const char* value = std::getenv("RTD_SOCKET");
  return value != nullptr && *value != '\0' ? value : default_socket;
}

// The known word nearest to what was typed, when it is near enough to be meant.
std::string nearest(std::string_view typed, const std::vector<std::string>& words) {
  std::string best;
  std::size_t best_distance = typed.size() / 3 + 2;
  for (const std::string& word : words) {
    const std::size_t distance = protocol::edit_distance(typed, word);
    if (distance < best_distance && distance < word.size()) {
      best = word;
      best_distance = distance;
    }
  }
  return best;
}

std::vector<std::string> option_names(const CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::App* level = &command; level != nullptr; level = level->get_parent())
    for (const CLI::Option* option : level->get_options())
      for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  return names;
}

std::vector<std::string> command_names(const CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::App* one : command.get_subcommands([](const CLI::App*) { return true; }))
    names.push_back(one->get_name());
  return names;
}

}  // namespace

std::string full_name(const CLI::App& command) {
  const CLI::App* parent = command.get_parent();
  return parent == nullptr ? command.get_name() : full_name(*parent) + " " + command.get_name();
}

double seconds_of_option(const std::string& option, const std::string& value) {
  if (const auto seconds = parse_seconds(value)) return *seconds;
  throw CLI::ValidationError(option,
                             "\"" + safe_line(value) + "\" is no length of time; write 10s, 1m30s, 500ms or 2h");
}

void limit_to(CLI::Option* option, long least, long most) {
  option->check(
      [least, most](const std::string& value) {
        long number = 0;
        const auto [end, problem] = std::from_chars(value.data(), value.data() + value.size(), number);
        if (problem == std::errc() && end == value.data() + value.size() && number >= least && number <= most)
          return std::string();
        return "\"" + safe_line(value) + "\" is no whole number from " + std::to_string(least) + " to " +
               std::to_string(most);
      },
      "", "");
}

command_line::command_line() : root_("Shows and steers rtd, the daemon that runs plugins as green threads.", "rtctl") {
  // One command a call: a task or plugin may then bear the name of a command ("rtctl task stop top").
  root_.require_subcommand(0, 1);
  root_.fallthrough();
  root_.allow_extras();
  root_.formatter(std::make_shared<help_formatter>());
  root_.footer(root_footer);
  add_global_options();
  add_status_commands(*this);
  add_task_commands(*this);
  add_top_command(*this);
  add_sandbox_commands(*this);
  add_plugin_commands(*this);
  add_log_commands(*this);
  add_config_commands(*this);
  add_heap_commands(*this);
  add_daemon_commands(*this);
  add_completion_command(*this);
}

void command_line::add_global_options() {
  options_.socket = socket_from_environment();
  root_.set_help_flag("-h,--help", "Show this help");
  root_.set_version_flag("--version", "rtctl " + std::string(protocol::version()), "Show the version of rtctl");
  hint(root_
           .add_option_function<std::string>(
               "--socket", [this](const std::string& value) { options_.socket = value; },
               "The control socket (default: $RTD_SOCKET, else " + std::string(default_socket) + ")")
           ->type_name("PATH"),
       value_source::files);
  auto* format = root_.add_option("-o,--output", options_.format, "table, wide, json or jsonl")->type_name("FORMAT");
  choices(format, {"table", "wide", "json", "jsonl"});
  root_.add_flag("--json", options_.json, "The same as -o json");
  root_.add_flag("--no-headers", options_.no_headers, "Leave the titles of columns out");
  root_
      .add_option_function<std::string>(
          "--timeout", [this](const std::string& value) { options_.timeout = seconds_of_option("--timeout", value); },
          "Give up after this long; 0: never (default: 30s, and never where a command waits for something to end)")
      ->type_name("TIME");
  root_.add_flag("-q,--quiet", options_.quiet, "Names only in lists; no remarks");
  choices(root_.add_option("--color", options_.colour, "auto, always or never")->type_name("WHEN"),
          {"auto", "always", "never"});
}

CLI::App& command_line::add_group(const std::string& name, const std::string& description) {
  CLI::App* group = root_.add_subcommand(name, description);
  group->require_subcommand(0, 1);
  return *group;
}

CLI::App& command_line::add_command(CLI::App& parent, const std::string& name, const std::string& description,
                                    action work) {
  CLI::App* command = parent.add_subcommand(name, description);
  command->footer("Options for every command: rtctl --help");
  command->callback([this, work = std::move(work)] { chosen_ = work; });
  return *command;
}

void command_line::choices(CLI::Option* option, std::vector<std::string> words) {
  std::string list;
  for (const std::string& word : words) list += (list.empty() ? "" : word == words.back() ? " or " : ", ") + word;
  option->check(
      [words, list](const std::string& value) {
        return std::find(words.begin(), words.end(), value) != words.end()
                   ? std::string()
                   : "\"" + safe_line(value) + "\" is not known; give " + list;
      },
      "", "");
  hints_[option] = {value_source::choices, std::move(words)};
}

const value_hint& command_line::hint_of(const CLI::Option* option) const {
  static const value_hint nothing;
  const auto place = hints_.find(option);
  return place == hints_.end() ? nothing : place->second;
}

const CLI::App& command_line::innermost() const {
  const CLI::App* level = &root_;
  while (true) {
    const auto given = level->get_subcommands();
    if (given.empty()) return *level;
    level = given.front();
  }
}

void command_line::parse(int argc, const char* const* argv) {
  root_.parse(argc, argv);
  refuse_leftovers();
  if (options_.json) options_.format = "json";
}

void command_line::refuse_leftovers() const {
  const std::vector<std::string> extra = root_.remaining(true);
  const CLI::App& command = innermost();
  const std::string see = "see " + full_name(command) + " --help";
  for (const std::string& word : extra) {
    if (word == "--") continue;
    const bool is_option = word.size() > 1 && word.front() == '-';
    const std::string shown = "\"" + safe_line(word) + "\"";
    const bool takes_commands = !chosen_;
    const std::string name = is_option ? word.substr(0, word.find('=')) : word;
    const std::string meant = is_option        ? nearest(name, option_names(command))
                              : takes_commands ? nearest(name, command_names(command))
                                               : "";
    const std::string what = is_option        ? "unknown option "
                             : takes_commands ? "unknown command "
                                              : "too many arguments: ";
    throw command_error(exit_code::usage, what + shown + " for " + full_name(command),
                        meant.empty() ? see : "did you mean " + meant + "? " + see);
  }
}

}  // namespace rtd::ctl
