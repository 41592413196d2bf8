// The commands and options of rtctl, declared with CLI11, and what completion needs to know about their values.
#pragma once

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/ctl/command_context.h"

namespace rtd::ctl {

/// Where the values of an option or argument come from, for completion.
enum class value_source {
  none,     ///< nothing can be offered
  files,    ///< the shell's own file names
  choices,  ///< a fixed list
  tasks,    ///< the rest are asked of rtd
  running_tasks,
  ended_tasks,
  sandboxes,
  plugins,
  entries,  ///< of the plugin that is the argument before
};

struct value_hint {
  value_source source = value_source::none;
  std::vector<std::string> choices;
};

/// What the global options gave.
struct global_options {
  std::string socket;
  std::string format = "table";
  bool json = false;
  bool no_headers = false;
  bool quiet = false;
  std::string colour = "auto";
  std::optional<double> timeout;
};

/// Does the command's work and returns the exit status. @throws command_error
using action = std::function<int(command_context&)>;

class command_line {
 public:
  /// Declares everything.
  command_line();
  command_line(const command_line&) = delete;
  command_line& operator=(const command_line&) = delete;

  /// A command that has commands of its own ("task").
  CLI::App& add_group(const std::string& name, const std::string& description);
  /// A command that does something; `parent` is the root or a group.
  CLI::App& add_command(CLI::App& parent, const std::string& name, const std::string& description, action work);
  /// Says where an option's or argument's values come from.
  void hint(const CLI::Option* option, value_source source) { hints_[option] = {source, {}}; }
  /// Limits an option to some words, and offers them.
  void choices(CLI::Option* option, std::vector<std::string> words);

  /// Reads the command line. @throws CLI::ParseError; command_error usage
  void parse(int argc, const char* const* argv);

  CLI::App& root() noexcept { return root_; }
  const CLI::App& root() const noexcept { return root_; }
  const global_options& options() const noexcept { return options_; }
  global_options& options() noexcept { return options_; }
  const value_hint& hint_of(const CLI::Option* option) const;
  /// The work of the command that was given; empty when none was.
  const action& chosen() const noexcept { return chosen_; }
  /// The command that was given, as far as it was understood.
  const CLI::App& innermost() const;

 private:
  void add_global_options();
  void refuse_leftovers() const;

  CLI::App root_;
  global_options options_;
  std::map<const CLI::Option*, value_hint> hints_;
  action chosen_;
};

/// "rtctl task run": the command's full name.
std::string full_name(const CLI::App& command);

/// Reads a value of an option that is a length of time. @throws CLI::ValidationError naming the option
double seconds_of_option(const std::string& option, const std::string& value);

/// Lets an option or argument be a whole number within [least, most] only.
void limit_to(CLI::Option* option, long least, long most);

/// Each declares the commands of its file.
void add_status_commands(command_line& line);     // status, version
void add_task_commands(command_line& line);       // ps, task …
void add_top_command(command_line& line);         // top
void add_plugin_commands(command_line& line);     // plugin …
void add_sandbox_commands(command_line& line);    // sandbox …
void add_log_commands(command_line& line);        // logs, events
void add_config_commands(command_line& line);     // config …
void add_heap_commands(command_line& line);       // gc …, heap …
void add_daemon_commands(command_line& line);     // stacks, log-level
void add_completion_command(command_line& line);  // completion

}  // namespace rtd::ctl
