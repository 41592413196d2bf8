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

#include "daemon/config/cron.h"
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
/// What is done with a task whose green threads all wait for each other: it fails, it is only reported, or nothing.
enum class deadlock_policy : std::uint8_t { fail, report, ignore };

std::string_view to_string(log_level value) noexcept;
std::string_view to_string(log_format value) noexcept;
std::string_view to_string(restart_policy value) noexcept;
std::string_view to_string(deadlock_policy value) noexcept;

/// How a task gets its part of the CPU: `batch` has a weight of 1 when none is given, `latency` goes before the others
/// within a budget.
enum class task_class : std::uint8_t { batch, normal, latency };
std::string_view to_string(task_class value) noexcept;

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
  std::chrono::nanoseconds stable_after = std::chrono::seconds(10);  ///< a run of this length begins a new row

  bool operator==(const restart_settings&) const = default;
};

/// Resource limits of a host process.
struct limit_settings {
  std::uint64_t open_files = 65536;
  std::uint64_t processes = 0;  ///< of the host's user, kernel threads included; 0: without limit
  std::uint64_t file_size = 0;  ///< bytes of the largest file that may be written; 0: without limit
  std::uint64_t core = 0;       ///< bytes of the largest core dump; 0: none is written
  // By a control group, of the host as a whole. 0: without limit.
  std::uint64_t memory = 0;     ///< bytes
  std::uint64_t threads = 0;    ///< processes and kernel threads
  double cpus = 0;              ///< CPUs' worth of time
  std::uint64_t io_weight = 0;  ///< its part of a busy disk beside others, 1 to 10000; 0: the kernel's default
  std::uint64_t io_read = 0;    ///< bytes a second, of each disk that it may read from
  std::uint64_t io_write = 0;   ///< the same of writing

  bool operator==(const limit_settings&) const = default;
};

/// How much of a sandbox's confinement must be in force: all of it, else the sandbox does not start; as much as there
/// is; or none but what every host gets.
enum class isolation_mode : std::uint8_t { strict, best_effort, none };
std::string_view to_string(isolation_mode value) noexcept;

/// What follows when a plugin makes a system call that its sandbox refuses: the call fails, or the host is ended too.
enum class violation_action : std::uint8_t { deny, kill };
std::string_view to_string(violation_action value) noexcept;

/// TCP addresses that may be listened on or connected to.
struct address_grants {
  std::vector<std::string> addresses;  ///< as they were written: "127.0.0.1:8080", "*:443", "*"
  bool every_port = false;
  std::vector<std::uint16_t> ports;  ///< those of the addresses, sorted; of no meaning with every_port

  bool operator==(const address_grants&) const = default;
};

/// What the plugins of a sandbox may use beside their own files.
struct grant_settings {
  std::vector<std::string> read;   ///< files and folders, absolute
  std::vector<std::string> write;  ///< the same, to change and to add to
  address_grants listen;
  address_grants connect;
  bool udp = false;
  std::map<std::string, std::string> environment;

  bool operator==(const grant_settings&) const = default;
};

struct isolation_settings {
  isolation_mode mode = isolation_mode::strict;
  violation_action on_violation = violation_action::deny;
  bool seal = true;                                         ///< no code is loaded once the plugins are
  std::uint64_t scratch = std::uint64_t{64} * 1024 * 1024;  ///< bytes of /tmp, in memory; 0: there is none
  grant_settings grants;

  bool operator==(const isolation_settings&) const = default;
};

/// The collector of a sandbox's heap.
struct gc_settings {
  std::int64_t percent = 100;      ///< how much the heap may grow between collections; -1: off
  std::uint64_t memory_limit = 0;  ///< bytes, soft; 0: nine tenths of what the sandbox's or the daemon's group may have

  bool operator==(const gc_settings&) const = default;
};

/// What a task may have; 0: without limit.
struct task_limit_settings {
  std::uint64_t heap_soft = 0;     ///< bytes on the collected heap, beyond which the task is slowed down
  std::uint64_t heap_hard = 0;     ///< the same, beyond which its allocations fail
  std::int64_t green_threads = 0;  ///< at a time
  std::int64_t connections = 0;    ///< at a time
  std::int64_t log_rate = 0;       ///< lines a second
  std::int64_t log_burst = 0;      ///< lines at once; 0: ten times log_rate
  double cpus = 0;                 ///< CPUs' worth of time

  bool operator==(const task_limit_settings&) const = default;
};

struct sandbox {
  std::int64_t max_procs = 0;             ///< Ps; 0: as many as the CPUs and quotas allow
  std::uint64_t stack_size = 256 * 1024;  ///< bytes of a green thread's stack
  limit_settings limits;
  isolation_settings isolation;
  gc_settings gc;
  restart_settings restart;
  std::chrono::nanoseconds stop_timeout = std::chrono::seconds(10);  ///< then the host is killed

  bool operator==(const sandbox&) const = default;
};

/// What becomes of a scheduled start while the task still runs: it is left out, or made up for when the run has ended
/// (one, however many were due).
enum class overlap_policy : std::uint8_t { skip, queue };
std::string_view to_string(time_zone value) noexcept;
std::string_view to_string(overlap_policy value) noexcept;

/// When a task is started by itself, again and again: at the times of `when`, or each `every` from start to start.
struct schedule_settings {
  std::optional<cron> when;
  std::chrono::nanoseconds every{0};  ///< without `when`
  time_zone zone = time_zone::local;
  overlap_policy overlap = overlap_policy::skip;

  bool operator==(const schedule_settings&) const = default;
};

struct task {
  std::string plugin;
  std::string entry;
  std::string sandbox = "default";
  std::map<std::string, std::vector<std::string>> params;  ///< numbers and booleans as they were written
  restart_settings restart{.policy = restart_policy::on_failure};
  bool autostart = true;                      ///< with a schedule: whether that is in force
  std::optional<schedule_settings> schedule;  ///< it is started by this, not with the daemon
  // How long each rung of a stop may take before the next one (docs/operations.md): it is asked to finish, its root
  // context ends, its green threads unwind. 0 leaves one of the first two out.
  std::chrono::nanoseconds drain_timeout = std::chrono::seconds(0);
  std::chrono::nanoseconds cancel_timeout = std::chrono::seconds(0);
  std::chrono::nanoseconds stop_timeout = std::chrono::seconds(5);
  std::vector<std::string> listen;   ///< kept open by the supervisor: ADDRESS:PORT, or "unix:" and an absolute path
  bool start_on_connection = false;  ///< by the first one to an address of `listen`, and not with the daemon
  std::uint64_t stack_size = 0;      ///< bytes; 0: the sandbox's
  std::int64_t weight = 100;         ///< its part of the CPU beside other tasks of the sandbox
  task_class scheduling = task_class::normal;
  deadlock_policy on_deadlock = deadlock_policy::fail;
  std::vector<std::string> after;     ///< tasks that it is started after, if they are started at all
  std::vector<std::string> required;  ///< "requires": tasks that it runs only with, and is started after
  task_limit_settings limits;

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

/// The parts of to_json that are useful alone (`rtctl task inspect`, the state file).
nlohmann::json to_json(const std::optional<schedule_settings>& from);
nlohmann::json to_json(const task& from);
nlohmann::json to_json(const restart_settings& from);
nlohmann::json to_json(const task_limit_settings& from);
nlohmann::json params_to_json(const std::map<std::string, std::vector<std::string>>& params);

}  // namespace rtd::config
