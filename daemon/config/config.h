// The daemon's configuration: plain values, and how they are read from JSON.
//
// The text goes through three steps, each in files of its own:
//   document.h   JSON text -> tree; every key and value knows its line and column (syntax_error.h words the mistakes)
//   load.cpp     tree -> the structs below, by reader.h; every rule is checked here and all mistakes are reported
//   together diff.h       two configurations -> what a reload has to do
// config/rtd.schema.json describes the same rules for editors and other tools (schema.h has its text). It cannot say
// everything (that a task's plugin exists, say), but what it refuses is refused here too; a test holds the two
// together.
//
// Invariants:
//   1. A config that load_* returned is complete and consistent: defaults are filled in, paths are absolute, names that
//      tasks refer to exist, accounts are looked up.
//   2. load_text(to_json(c).dump()) gives c again, whatever the folder.
//   3. There is a config or there are problems, never both.
// Rejected: validating with the JSON Schema itself (errors in the schema's words, no "did you mean", and no C++
// validator in Debian 12), warnings beside errors (nobody reads them; a setting is right or refused).
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/config/endpoint.h"
#include "daemon/config/problem.h"
#include "daemon/protocol/role.h"

namespace rtd::config {

enum class log_level : std::uint8_t { debug, info, warn, error };
enum class log_format : std::uint8_t {
  automatic,  ///< "auto": journald when systemd connected our standard error to it, else text
  text,
  json,
  journald,
};
/// When something that ended is started again: `always`, only when it failed or its host died, or `never`.
enum class restart_policy : std::uint8_t { always, on_failure, never };

std::string_view to_string(log_level value) noexcept;
std::string_view to_string(log_format value) noexcept;
std::string_view to_string(restart_policy value) noexcept;

/// Gives a role to the peers of one user or of one group on the control socket.
struct role_rule {
  protocol::role role = protocol::role::view;
  bool is_group = false;
  std::uint32_t id = 0;  ///< uid, or gid when is_group
  std::string account;   ///< the name that the file gave; empty when it gave the number

  bool operator==(const role_rule&) const = default;
};

struct control_section {
  std::string socket = "/run/rtd/control.sock";
  std::uint32_t mode = 0660;  ///< permissions of the socket
  std::int64_t max_connections = 64;
  std::vector<role_rule> roles;  ///< beside root and the daemon's own user, who are admin

  bool operator==(const control_section&) const = default;
};

struct http_section {
  std::optional<endpoint> listen = endpoint{"127.0.0.1", 9180};  ///< nothing: no HTTP

  bool operator==(const http_section&) const = default;
};

struct log_section {
  log_level level = log_level::info;
  log_format format = log_format::automatic;

  bool operator==(const log_section&) const = default;
};

struct metrics_section {
  bool go_compat = true;  ///< go_* names beside rtd_*

  bool operator==(const metrics_section&) const = default;
};

struct plugin {
  std::string path;  ///< absolute; whether the file exists shows when a host loads it

  bool operator==(const plugin&) const = default;
};

struct restart_settings {
  restart_policy policy = restart_policy::always;
  std::chrono::nanoseconds initial_delay = std::chrono::milliseconds(100);  ///< before the first restart of a row
  std::chrono::nanoseconds max_delay = std::chrono::seconds(30);            ///< the delay doubles up to this
  std::int64_t max_restarts = 0;                                            ///< within `window`; 0: without limit
  std::chrono::nanoseconds window = std::chrono::seconds(60);

  bool operator==(const restart_settings&) const = default;
};

/// Resource limits of a host process.
struct limit_settings {
  std::uint64_t open_files = 65536;
  std::uint64_t processes = 0;  ///< of the host's user, kernel threads included; 0: without limit
  std::uint64_t file_size = 0;  ///< bytes of the largest file that may be written; 0: without limit
  std::uint64_t core = 0;       ///< bytes of the largest core dump; 0: none is written

  bool operator==(const limit_settings&) const = default;
};

struct sandbox {
  std::int64_t max_procs = 0;             ///< Ps; 0: as many as the CPUs and quotas allow
  std::uint64_t stack_size = 256 * 1024;  ///< bytes of a green thread's stack
  limit_settings limits;
  restart_settings restart;
  std::chrono::nanoseconds stop_timeout = std::chrono::seconds(10);  ///< then the host is killed

  bool operator==(const sandbox&) const = default;
};

struct task {
  std::string plugin;
  std::string entry;
  std::string sandbox = "default";
  std::map<std::string, std::vector<std::string>> params;  ///< numbers and booleans as they were written
  restart_settings restart{.policy = restart_policy::on_failure};
  bool autostart = true;
  std::chrono::nanoseconds stop_timeout = std::chrono::seconds(5);
  std::uint64_t stack_size = 0;  ///< bytes; 0: the sandbox's

  bool operator==(const task&) const = default;
};

struct config {
  control_section control;
  http_section http;
  log_section log;
  metrics_section metrics;
  std::map<std::string, plugin> plugins;
  std::string plugin_dir = "/usr/lib/rtd/plugins";
  std::string host_binary;  ///< empty: rtd-host beside rtd
  std::map<std::string, sandbox> sandboxes{{"default", {}}};
  std::map<std::string, task> tasks;

  bool operator==(const config&) const = default;
};

struct load_result {
  std::optional<config> value;    ///< present exactly when there are no problems
  std::vector<problem> problems;  ///< sorted by place
};

/// Reads a configuration. Relative paths in it are taken from `base_dir` (itself taken from the working directory when
/// relative or empty), plugins' from plugin_dir. Looks user and group names up, which may block on a name service;
/// otherwise does not block. Throws for no text (but std::bad_alloc). Any thread may call it.
load_result load_text(std::string_view text, std::string_view base_dir);

/// load_text of a file, with the file's folder as base. A file that is missing, unreadable, not a regular file or
/// larger than 4 MiB is a problem too (line 0). Blocks on the disk.
load_result load_file(const std::string& path);

/// The configuration as a document with every default filled in and every path absolute. The "$schema" key of the text
/// that it came from is left out.
nlohmann::json to_json(const config& from);

/// The parts of to_json that are useful alone (`rtctl task inspect`).
nlohmann::json to_json(const restart_settings& from);
nlohmann::json params_to_json(const std::map<std::string, std::vector<std::string>>& params);

}  // namespace rtd::config
