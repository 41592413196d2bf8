#include "daemon/supervisor/plugin_info.h"

#include <algorithm>

#include "daemon/protocol/fields.h"

namespace rtd::supervisor {
namespace {

constexpr std::size_t max_entries = 1000;
constexpr std::size_t max_thread_locals = 100;
constexpr std::int64_t most_number = std::int64_t{1} << 53;

}  // namespace

bool plugin_info::has_entry(std::string_view entry) const {
  return std::ranges::any_of(entries, [&](const plugin_entry& one) { return one.name == entry; });
}

std::string plugin_info::entry_names() const {
  std::string names;
  for (const auto& entry : entries) names += (names.empty() ? "" : ", ") + entry.name;
  return names.empty() ? "none" : names;
}

nlohmann::json plugin_info::to_json() const {
  nlohmann::json list = nlohmann::json::array();
  for (const auto& entry : entries) list.push_back({{"name", entry.name}, {"description", entry.description}});
  return {{"name", name},
          {"path", path},
          {"version", version},
          {"description", description},
          {"abi", abi},
          {"entries", list},
          {"thread_locals", thread_locals}};
}

plugin_info refused_plugin(std::string name, std::string path, std::string kind, std::string message) {
  plugin_info info;
  info.name = std::move(name);
  info.path = std::move(path);
  info.error_kind = std::move(kind);
  info.error = std::move(message);
  return info;
}

plugin_info read_plugin_answer(std::string name, std::string path, const host_answer& answer) {
  using namespace protocol;
  if (!answer.good()) return refused_plugin(std::move(name), std::move(path), answer.error_kind, answer.message);
  const auto& result = answer.result;
  const auto bad = [&](const char* what) {
    return refused_plugin(name, path, "plugin_load_failed", std::string("the host's answer has ") + what);
  };
  plugin_info info;
  info.path = path;
  info.name = text_field(result, "name", max_name_bytes);
  if (!is_name(info.name)) return bad("no good name");
  if (!name.empty() && info.name != name) return bad("another plugin's name");
  info.version = text_field(result, "version", 64);
  info.description = text_field(result, "description", 512);
  info.abi = integer_field(result, "abi", 0, 0, 1'000'000);
  info.number = integer_field(result, "number", 0, 0, most_number);
  const auto& entries = member(result, "entries");
  if (!entries.is_array() || entries.size() > max_entries) return bad("no good list of entries");
  for (const auto& one : entries) {
    plugin_entry entry{text_field(one, "name", max_name_bytes), text_field(one, "description", 512)};
    if (!is_identifier(entry.name)) return bad("an entry without a good name");
    if (info.has_entry(entry.name)) return bad("two entries of one name");
    info.entries.push_back(std::move(entry));
  }
  if (const auto& symbols = member(result, "thread_locals"); symbols.is_array())
    for (const auto& symbol : symbols)
      if (symbol.is_string() && info.thread_locals.size() < max_thread_locals)
        info.thread_locals.push_back(clean_text(symbol.get_ref<const std::string&>(), 256));
  info.loaded = true;
  return info;
}

}  // namespace rtd::supervisor
