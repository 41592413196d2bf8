#include "daemon/ctl/help.h"

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "daemon/ctl/command_line.h"

namespace rtd::ctl {
namespace {

constexpr std::size_t page_width = 100;
constexpr std::size_t widest_left = 30;

using rows = std::vector<std::pair<std::string, std::string>>;

// Two columns; what does not fit beside the left one is broken at spaces.
std::string listing(const std::string& title, const rows& entries) {
  if (entries.empty()) return {};
  std::size_t left = 0;
  for (const auto& [name, text] : entries) left = std::max(left, name.size());
  left = std::min(left, widest_left);
  std::string page = "\n" + title + ":\n";
  for (const auto& [name, text] : entries) {
    std::string line = "  " + name;
    if (name.size() > left) {
      page += line + '\n';
      line.clear();
    }
    line.resize(std::max(line.size(), left + 4), ' ');
    std::string_view rest = text;
    while (true) {
      const std::size_t room = page_width - (left + 4);
      if (rest.size() <= room) break;
      std::size_t end = rest.rfind(' ', room);
      if (end == std::string_view::npos || end == 0) end = room;
      page += line + std::string(rest.substr(0, end)) + '\n';
      line.assign(left + 4, ' ');
      rest.remove_prefix(std::min(rest.size(), end + 1));
    }
    page += line + std::string(rest) + '\n';
  }
  return page;
}

// "-o, --output FORMAT"; long options line up whether or not they have a short form.
std::string shown_option(const CLI::Option& option) {
  std::string text;
  for (const std::string& name : option.get_snames()) text += (text.empty() ? "-" : ", -") + name;
  if (text.empty()) text = "   ";
  for (const std::string& name : option.get_lnames()) text += (text == "   " ? " --" : ", --") + name;
  if (option.get_items_expected_max() > 0) text += " " + option.get_type_name();
  return text;
}

std::string shown_argument(const CLI::Option& option) {
  std::string name = option.get_name(true);
  if (option.get_items_expected_max() > 1) name += "...";
  return option.get_required() ? name : "[" + name + "]";
}

bool is_shown(const CLI::Option* option) { return !option->get_group().empty(); }

}  // namespace

std::string usage_of(const CLI::App& command) {
  std::string text = full_name(command) + " [OPTION]...";
  for (const CLI::Option* option : command.get_options())
    if (is_shown(option) && option->get_positional()) text += " " + shown_argument(*option);
  if (!command.get_subcommands([](const CLI::App*) { return true; }).empty()) text += " COMMAND";
  return text;
}

std::string help_formatter::make_help(const CLI::App* command, std::string, CLI::AppFormatMode) const {
  rows commands;
  rows arguments;
  rows options;
  for (const CLI::App* one : command->get_subcommands([](const CLI::App*) { return true; })) {
    const auto inner = one->get_subcommands([](const CLI::App*) { return true; });
    std::string names;
    for (const CLI::App* part : inner) names += (names.empty() ? "" : "|") + part->get_name();
    commands.emplace_back(names.empty() ? one->get_name() : one->get_name() + " " + names, one->get_description());
  }
  for (const CLI::Option* option : command->get_options()) {
    if (!is_shown(option)) continue;
    auto& list = option->get_positional() ? arguments : options;
    list.emplace_back(option->get_positional() ? option->get_name(true) : shown_option(*option),
                      option->get_description());
  }
  std::string page = command->get_description() + "\n\nUsage: " + usage_of(*command) + "\n";
  page += listing("Commands", commands) + listing("Arguments", arguments) + listing("Options", options);
  if (!command->get_footer().empty()) page += "\n" + command->get_footer() + "\n";
  return page;
}

}  // namespace rtd::ctl
