#include <filesystem>
#include <set>
#include <system_error>
#include <utility>

#include "daemon/config/config.h"
#include "daemon/config/document.h"
#include "daemon/config/reader.h"
#include "daemon/config/sections.h"
#include "daemon/config/text.h"
#include "daemon/config/text_file.h"

namespace rtd::config {
namespace {

/// `base` as an absolute path. Where the working directory is unknown (it was removed), "/" stands in.
std::string absolute_folder(std::string_view base) {
  std::error_code error;
  const std::filesystem::path absolute = std::filesystem::absolute(base.empty() ? "." : base, error);
  if (!error) return absolute.lexically_normal().string();
  return (std::filesystem::path("/") / base).lexically_normal().string();
}

/// The keys of an object; nothing for other values, which are reported elsewhere.
std::set<std::string_view> keys_of(const value& object) {
  std::set<std::string_view> keys;
  for (const member& entry : object.json().members) keys.insert(entry.name);
  return keys;
}

void read_schema_key(const value& from) {
  std::string ignored;
  from.read_string(ignored, 4096, true);
}

void read_config(const value& root, std::string_view base_dir, config& to) {
  object_reader object(root);
  if (const auto schema = object.find("$schema")) read_schema_key(*schema);
  if (const auto control = object.find("control")) read_control(*control, base_dir, to.control);
  if (const auto http = object.find("http")) read_http(*http, to.http);
  if (const auto log = object.find("log")) read_log(*log, to.log);
  if (const auto metrics = object.find("metrics")) read_metrics(*metrics, to.metrics);
  if (const auto folder = object.find("plugin_dir")) folder->read_path(to.plugin_dir, base_dir);
  if (const auto binary = object.find("host_binary")) {
    const bool is_default = binary->json().kind == node_kind::string && binary->json().text.empty();
    if (!is_default) binary->read_path(to.host_binary, base_dir);
  }
  const auto plugins = object.find("plugins");
  const auto sandboxes = object.find("sandboxes");
  if (plugins) read_plugins(*plugins, to.plugin_dir, to.plugins);
  if (sandboxes) read_sandboxes(*sandboxes, to.sandboxes);
  if (const auto tasks = object.find("tasks")) {
    known_names known;
    if (plugins) known.plugins = keys_of(*plugins);
    known.sandboxes = sandboxes ? keys_of(*sandboxes) : std::set<std::string_view>{"default"};
    known.tasks = keys_of(*tasks);
    read_tasks(*tasks, known, to.tasks);
  }
  object.refuse_unknown_keys();
}

}  // namespace

load_result load_text(std::string_view text, std::string_view base_dir) {
  problem_list problems;
  config made;
  if (const std::optional<node> document = parse_document(text, problems)) {
    read_config(value(*document, {}, problems), absolute_folder(base_dir), made);
  }
  load_result result;
  if (problems.empty()) {
    result.value = std::move(made);
  } else {
    result.problems = problems.take();
  }
  return result;
}

load_result load_file(const std::string& path) {
  problem_list problems;
  const std::optional<std::string> text = read_text_file(path, problems);
  if (!text) return {std::nullopt, problems.take()};
  return load_text(*text, std::filesystem::path(path).parent_path().string());
}

}  // namespace rtd::config
