// The rules of each part of the configuration. For load.cpp alone.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>

#include "daemon/config/config.h"
#include "daemon/config/reader.h"

namespace rtd::config {

// Each function fills its target as far as the document is right and reports the rest.

void read_control(const value& from, std::string_view base_dir, control_section& to);
void read_http(const value& from, http_section& to);
void read_log(const value& from, log_section& to);
void read_metrics(const value& from, metrics_section& to);

void read_plugins(const value& from, std::string_view plugin_dir, std::map<std::string, plugin>& to);
void read_sandboxes(const value& from, std::map<std::string, sandbox>& to);

/// What a task may refer to: every name that the document lists, well described or not, so that one mistake in a plugin
/// is not reported again for each of its tasks.
struct known_names {
  std::set<std::string_view> plugins;
  std::set<std::string_view> sandboxes;
  std::set<std::string_view> tasks = {};
};
void read_tasks(const value& from, const known_names& known, std::map<std::string, task>& to);

}  // namespace rtd::config
