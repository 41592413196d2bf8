// rtctl config check|show|reload
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <limits>
#include <memory>
#include <optional>

#include "daemon/ctl/command_line.h"
#include "daemon/ctl/error.h"
#include "daemon/ctl/fields.h"
#include "daemon/protocol/framing.h"

namespace rtd::ctl {
namespace {

using nlohmann::json;

// "rtd.json:12:7: /tasks/x/entry: there is no such entry (did you mean serve?)"
std::string shown_problem(const std::string& file, const json& problem) {
  std::string text = file;
  for (const char* part : {"line", "column"})
    if (const std::string number = count_of(problem, part, "0"); number != "0") text += ":" + number;
  text += ": ";
  if (const std::string pointer = text_of(problem, "pointer"); !pointer.empty()) text += pointer + ": ";
  text += text_of(problem, "message");
  if (const std::string hint = text_of(problem, "hint"); !hint.empty()) text += " (" + hint + ")";
  return safe_line(text) + '\n';
}

std::string problem_count(std::size_t count) { return std::to_string(count) + (count == 1 ? " problem" : " problems"); }

// The whole of a file ("-": standard input), up to what fits into one request.
std::string read_config(const std::string& file) {
  std::string text;
  const auto take = [&](std::istream& input) {
    std::string block(65536, '\0');
    while (text.size() <= protocol::max_line_bytes && input) {
      input.read(block.data(), static_cast<std::streamsize>(block.size()));
      text.append(block, 0, static_cast<std::size_t>(input.gcount()));
    }
  };
  if (file == "-") {
    take(std::cin);
  } else {
    std::error_code problem;
    if (std::filesystem::is_directory(file, problem))
      throw command_error(exit_code::failed, "cannot read " + safe_line(file) + ": it is a directory");
    errno = 0;
    std::ifstream input(file, std::ios::binary);
    if (!input) {
      const int reason = errno;
      throw command_error(reason == ENOENT   ? exit_code::not_found
                          : reason == EACCES ? exit_code::permission_denied
                                             : exit_code::failed,
                          "cannot read " + safe_line(file) + ": " + std::strerror(reason));
    }
    take(input);
  }
  if (text.size() > protocol::max_line_bytes)
    throw command_error(exit_code::failed, safe_line(file) + " is larger than 1 MiB, and so no config of rtd");
  return text;
}

int check_config(command_context& context, const std::string& file) {
  console& terminal = context.terminal();
  json parameters = json::object();
  std::string shown = file;
  if (file.empty()) {
    shown = text_of(context.call("config.show"), "file");
    if (!shown.empty()) parameters["file"] = shown;
  } else {
    parameters["text"] = read_config(file);
    if (file == "-") {
      shown = "<stdin>";
    } else {
      // rtd need not be able to read the file, but relative paths in the text are relative to its folder.
      std::error_code problem;
      const auto full = std::filesystem::absolute(file, problem);
      if (!problem) parameters["file"] = full.lexically_normal().string();
    }
  }
  const json answer = context.call("config.check", parameters);
  const json& problems = list_of(answer, "problems");
  const bool is_good = flag_of(answer, "ok");
  if (terminal.is_json()) {
    terminal.write_json(answer, "problems");
  } else {
    for (const json& problem : problems) terminal.write(shown_problem(shown, problem));
    if (is_good)
      terminal.report(safe_line(shown) + ": " + terminal.painted("ok", tone::good));
    else
      terminal.note(safe_line(shown) + ": " + problem_count(problems.size()));
  }
  return static_cast<int>(is_good ? exit_code::ok : exit_code::invalid_config);
}

int show_config(command_context& context) {
  console& terminal = context.terminal();
  const json answer = context.call("config.show");
  if (terminal.is_json()) {
    terminal.write_json(answer);
    return 0;
  }
  terminal.write(safe_json(member_of(answer, "config").dump(2, ' ', false, json::error_handler_t::replace)) + '\n');
  const std::string file = text_of(answer, "file");
  if (terminal.is_terminal())
    terminal.note("(generation " + count_of(answer, "generation") + (file.empty() ? "" : " of " + safe_line(file)) +
                  ")");
  return 0;
}

// Names and what befell them, one a line: "+ task greeter".
std::string shown_changes(const console& terminal, const json& changes) {
  std::string text;
  const auto add = [&](const char* key, const char* mark, tone its_tone) {
    for (const json& item : list_of(changes, key)) {
      const std::string name = item.is_string() ? item.get<std::string>() : item.dump();
      text += terminal.painted(std::string(mark) + " " + safe_line(name), its_tone) + '\n';
    }
  };
  add("added", "+", tone::good);
  add("changed", "~", tone::warning);
  add("removed", "-", tone::bad);
  return text;
}

int reload_config(command_context& context, bool wait, std::optional<std::uint64_t> expected) {
  console& terminal = context.terminal();
  json parameters{{"wait", wait}};
  if (expected) parameters["expect_generation"] = *expected;
  json answer;
  try {
    answer = context.call_and_wait("config.reload", parameters);
  } catch (const request_error& problem) {
    if (problem.code() != exit_code::invalid_config) throw;
    const json& problems = list_of(problem.data(), "problems");
    std::string file = text_of(problem.data(), "file");
    if (file.empty() && !problems.empty()) file = text_of(context.call("config.show"), "file");
    if (terminal.is_json())
      terminal.write_json(json{{"ok", false}, {"problems", problems}}, "problems");
    else
      for (const json& one : problems) terminal.write(shown_problem(file, one));
    terminal.complain(problem.what(), "nothing was changed");
    return static_cast<int>(exit_code::invalid_config);
  }
  if (terminal.is_json()) {
    terminal.write_json(answer);
    return 0;
  }
  const json& changes = member_of(answer, "changes");
  if (!terminal.is_quiet()) terminal.write(shown_changes(terminal, changes));
  const auto count = [&](const char* key) { return std::to_string(list_of(changes, key).size()); };
  terminal.report("generation " + count_of(answer, "generation") + ": " + count("added") + " added, " +
                  count("changed") + " changed, " + count("removed") + " removed, " +
                  count_of(changes, "unchanged", "0") + " unchanged");
  return 0;
}

}  // namespace

void add_config_commands(command_line& line) {
  auto& group = line.add_group("config", "rtd's configuration");
  auto file = std::make_shared<std::string>();
  auto& check =
      line.add_command(group, "check", "Have rtd check a config, without using it; exit status 6 when invalid",
                       [file](command_context& context) { return check_config(context, *file); });
  line.hint(check.add_option("FILE", *file, "The config; -: standard input (default: the one that rtd uses)"),
            value_source::files);
  line.add_command(group, "show", "The config in use, with every default filled in", show_config);
  auto wait = std::make_shared<bool>(false);
  auto expected = std::make_shared<std::optional<std::uint64_t>>();
  auto& reload =
      line.add_command(group, "reload", "Read the config file anew and change what differs; all or nothing",
                       [wait, expected](command_context& context) { return reload_config(context, *wait, *expected); });
  reload.add_flag("--wait", *wait, "Wait until what has changed is running");
  limit_to(reload.add_option("--expect-generation", *expected, "Refuse when another generation is in use")
               ->type_name("NUMBER"),
           0, std::numeric_limits<std::int64_t>::max());
}

}  // namespace rtd::ctl
