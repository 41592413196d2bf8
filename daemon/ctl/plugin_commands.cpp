// rtctl plugin ls|check|replace|unload
#include <filesystem>
#include <memory>

#include "daemon/ctl/command_line.h"
#include "daemon/ctl/exit_code.h"
#include "daemon/ctl/fields.h"
#include "daemon/ctl/views.h"

namespace rtd::ctl {
namespace {

using nlohmann::json;

std::string entry_name(const json& entry) {
  return entry.is_string() ? entry.get<std::string>() : text_of(entry, "name");
}

std::string entry_names(const json& plugin) {
  std::string text;
  for (const json& entry : list_of(plugin, "entries")) text += (text.empty() ? "" : ",") + entry_name(entry);
  return text;
}

int list_plugins(command_context& context) {
  console& terminal = context.terminal();
  json answer = context.call("plugin.list");
  sort_list(answer, "plugins", "name");
  const json& plugins = list_of(answer, "plugins");
  if (terminal.is_json()) {
    terminal.write_json(answer, "plugins");
    return 0;
  }
  if (terminal.is_quiet()) {
    terminal.write(names_of(plugins));
    return 0;
  }
  std::vector<column> columns{{"NAME"}, {"VERSION"}, {"SANDBOX"}, {"STATE"}, {"ENTRIES", side::left, true}};
  if (terminal.is_wide()) columns.insert(columns.end(), {{"ABI", side::right}, {"PATH"}});
  columns.push_back({"DESCRIPTION", side::left, true});
  table rows(std::move(columns));
  for (const json& plugin : plugins) {
    const std::string error = text_of(plugin, "error");
    std::vector<cell> row{text_of(plugin, "name"), text_of(plugin, "version"), text_of(plugin, "sandbox"),
                          state_cell(plugin), entry_names(plugin)};
    if (terminal.is_wide()) {
      row.push_back(count_of(plugin, "abi"));
      row.push_back(text_of(plugin, "path"));
    }
    row.push_back(error.empty() ? cell(text_of(plugin, "description")) : cell(error, tone::bad));
    rows.add(std::move(row));
  }
  terminal.write_table(rows, "No plugins. Name some under \"plugins\" in rtd's config.");
  return 0;
}

// rtd may run in another folder: a file that is here is named in full. A bare name that is not here is left to rtd,
// which looks into its plugin folder.
std::string path_for_rtd(const std::string& file) {
  std::error_code problem;
  if (file.find('/') == std::string::npos && !std::filesystem::exists(file, problem)) return file;
  const auto full = std::filesystem::absolute(file, problem);
  return problem ? file : full.lexically_normal().string();
}

int check_plugin(command_context& context, const std::string& file) {
  console& terminal = context.terminal();
  const std::string path = path_for_rtd(file);
  const json answer = context.call("plugin.check", {{"path", path}});
  const bool is_good = flag_of(answer, "ok");
  const std::string kind = text_of(answer, "kind");
  const auto code = exit_code_for_kind(kind);
  const int status = is_good ? 0 : static_cast<int>(code == exit_code::ok ? exit_code::failed : code);
  if (terminal.is_json()) {
    terminal.write_json(answer);
    return status;
  }
  if (!is_good) {
    terminal.complain(safe_line(path) + ": refused (" + safe_line(kind) +
                      "): " + safe_line(text_of(answer, "message")));
    return status;
  }
  if (terminal.is_quiet()) return status;
  terminal.write(safe_line(path) + ": " + terminal.painted("ok", tone::good) + "\n  " +
                 safe_line(text_of(answer, "name") + " " + text_of(answer, "version") + ", plugin ABI " +
                           count_of(answer, "abi")) +
                 '\n');
  if (const std::string description = text_of(answer, "description"); !description.empty())
    terminal.write("  " + safe_line(description) + '\n');
  table entries({{""}, {""}});
  for (const json& entry : list_of(answer, "entries"))
    entries.add({"  entry " + entry_name(entry), text_of(entry, "description")});
  terminal.write(entries.render({.headers = false, .colour = terminal.colour()}));
  std::string symbols;
  for (const json& symbol : list_of(answer, "thread_locals"))
    if (symbol.is_string()) symbols += (symbols.empty() ? "" : ", ") + symbol.get<std::string>();
  if (!symbols.empty())
    terminal.note("warning: thread_local variables change under a green thread when it moves: " + safe_line(symbols));
  return status;
}

struct replace_options {
  std::string name;
  std::string file;
  double watch = 3;
};

int replace_plugin(command_context& context, const replace_options& options) {
  console& terminal = context.terminal();
  json parameters{{"name", options.name}, {"watch_seconds", options.watch}};
  if (!options.file.empty()) parameters["path"] = path_for_rtd(options.file);
  const json answer = context.call_and_wait("plugin.replace", std::move(parameters));
  if (terminal.is_json()) {
    terminal.write_json(answer);
    return 0;
  }
  for (const json& site : list_of(answer, "sandboxes")) {
    terminal.report("plugin " + safe_line(options.name) + " " + safe_line(text_of(site, "former_version")) +
                    " is replaced by " + safe_line(text_of(site, "version")) + " in sandbox " +
                    safe_line(text_of(site, "sandbox")) + (flag_of(site, "in_place") ? "" : ", in a new host"));
    if (!flag_of(site, "unloaded"))
      terminal.note("warning: the old version stays in memory: " + safe_line(text_of(site, "kept_because")));
  }
  return 0;
}

int unload_others(command_context& context, const std::string& name) {
  console& terminal = context.terminal();
  const json answer = context.call("plugin.unload", {{"name", name}});
  if (terminal.is_json()) {
    terminal.write_json(answer);
    return 0;
  }
  const json& unloaded = list_of(answer, "unloaded");
  for (const json& one : unloaded)
    terminal.report("plugin " + safe_line(name) + " " + safe_line(text_of(one, "version")) +
                    " is unloaded from sandbox " + safe_line(text_of(one, "sandbox")));
  if (unloaded.empty()) terminal.report("no former version of plugin " + safe_line(name) + " is left");
  return 0;
}

}  // namespace

void add_plugin_commands(command_line& line) {
  auto& group = line.add_group("plugin", "The plugins that rtd knows, and files that may become plugins");
  line.add_command(group, "ls", "The plugins, with version, state and entries", list_plugins);
  auto file = std::make_shared<std::string>();
  auto& check = line.add_command(group, "check", "Load a file in a process of its own and say whether it is a plugin",
                                 [file](command_context& context) { return check_plugin(context, *file); });
  line.hint(check.add_option("FILE", *file, "The shared object")->required(), value_source::files);
  auto replacing = std::make_shared<replace_options>();
  auto& replace =
      line.add_command(group, "replace", "Move the tasks of a plugin to another version, and unload the one before",
                       [replacing](command_context& context) { return replace_plugin(context, *replacing); });
  line.hint(replace.add_option("NAME", replacing->name, "The plugin")->required(), value_source::plugins);
  line.hint(replace.add_option("FILE", replacing->file, "The new version (default: what lies at the configured path)"),
            value_source::files);
  replace.add_option("--watch", replacing->watch, "Seconds that its tasks must have run until there is no way back")
      ->capture_default_str();
  auto name = std::make_shared<std::string>();
  auto& unload = line.add_command(group, "unload", "Try again to unload former versions that something referred to",
                                  [name](command_context& context) { return unload_others(context, *name); });
  line.hint(unload.add_option("NAME", *name, "The plugin")->required(), value_source::plugins);
}

}  // namespace rtd::ctl
