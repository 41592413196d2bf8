// What a host says about a plugin that it was told to load, checked.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/supervisor/host_message.h"
#include "daemon/supervisor/plugin_file.h"

namespace rtd::supervisor {

struct plugin_entry {
  std::string name;
  std::string description;
};

struct plugin_info {
  std::string name;
  std::string path;
  std::string version;
  std::string description;
  std::int64_t abi = 0;
  std::int64_t number = 0;  // of this version in its host
  std::vector<plugin_entry> entries;
  std::vector<std::string> thread_locals;  // symbols that are not safe across a park
  bool loaded = false;
  std::string error_kind;  // when it is not: "plugin_no_note", "timeout", "plugin_crashed", …
  std::string error;
  file_identity identity;  // of the file when it was loaded

  bool has_entry(std::string_view entry) const;
  /// "serve, dump", for errors.
  std::string entry_names() const;
  /// The common part of plugin.list and plugin.check.
  nlohmann::json to_json() const;
};

/// Reads the answer to plugin.load. An answer that is no good manifest counts as a refusal.
plugin_info read_plugin_answer(std::string name, std::string path, const host_answer& answer);

/// A plugin that could not even be tried.
plugin_info refused_plugin(std::string name, std::string path, std::string kind, std::string message);

}  // namespace rtd::supervisor
