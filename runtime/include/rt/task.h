// A task: a named running instance of a plugin's entry, as the entry sees it.
#pragma once

#include <charconv>
#include <chrono>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "rt/context.h"
#include "rt/gc.h"
#include "rt/metrics.h"
#include "rt/time.h"

namespace rt {

/// Severity of a log line.
enum class log_level : std::uint8_t { debug, info, warn, error };

/// A parameter of the task is missing or cannot be read. Leaves the entry and so fails the task with this message.
class bad_parameter : public std::invalid_argument {
 public:
  using std::invalid_argument::invalid_argument;
};

namespace detail {
class task_state;
}

/// The running task. The entry gets a reference that is good until the entry has returned and all green threads of the
/// task have ended; members may be called from any of them at once, and do not block.
///
/// When the entry returns, the task's remaining green threads are cancelled and waited for.
class task {
 public:
  explicit task(detail::task_state& state) noexcept : state_(&state) {}
  task(const task&) = delete;
  task& operator=(const task&) = delete;

  /// The name that the operator gave ("greeter"), unique in its sandbox.
  std::string_view name() const noexcept;
  std::string_view plugin() const noexcept;
  std::string_view entry() const noexcept;

  /// A parameter from the configuration or the command line, or `fallback`.
  std::string param(std::string_view key, std::string_view fallback) const;
  /// @throws rt::bad_parameter naming the key when it is not given.
  std::string required_param(std::string_view key) const;
  /// A list parameter (a JSON array in the configuration; one value counts as a list of one). Empty when not given.
  std::vector<std::string> param_list(std::string_view key) const;
  /// Numbers. @throws rt::bad_parameter naming key and value when it is no number or not within [least, most].
  std::int64_t param_int(std::string_view key, std::int64_t fallback, std::int64_t least = INT64_MIN,
                         std::int64_t most = INT64_MAX) const;
  double param_double(std::string_view key, double fallback) const;
  /// "true", "false". @throws rt::bad_parameter
  bool param_bool(std::string_view key, bool fallback) const;
  /// A length of time: a number with ns, us, ms, s, m, h, or several ("1m30s"). @throws rt::bad_parameter
  duration param_duration(std::string_view key, duration fallback) const;

  /// True once the task is asked to finish: to take on nothing new, and to return when what it has is done. A stop
  /// begins with this when the task's configuration gives it time (drain_timeout); blocking calls are not touched by
  /// it.
  bool draining() const noexcept;
  /// Ends when draining() becomes true, and at the latest with context(). For what brings new work:
  /// `rt::context_scope within(self.drain_context()); listener.accept();` @throws std::bad_alloc
  rt::context drain_context() const;

  /// The task's root context: ends when the task is stopped, fails, or its entry has returned. With a cancel_timeout in
  /// the task's configuration it ends that long before blocking calls throw rt::cancelled. @throws std::bad_alloc
  rt::context context() const;
  /// How many bytes of the collected heap the task may have before its allocations are slowed down and collected more
  /// often (limits.heap_soft of its configuration); rt::no_memory_limit when there is no limit. Of the calling green
  /// thread's task.
  std::uint64_t heap_limit() const noexcept;
  /// True once the task is being stopped; blocking calls then throw rt::cancelled.
  bool stopping() const noexcept;

  /// Writes a line to the task's log (the daemon's log, `rtctl logs`). Control characters are escaped and lines over
  /// 8 KiB cut. Never blocks: when the operator's log cannot keep up, and beyond limits.log_rate of the task's
  /// configuration, lines are dropped and counted.
  void log(log_level level, std::string_view message) const;
  void debug(std::string_view message) const { log(log_level::debug, message); }
  void info(std::string_view message) const { log(log_level::info, message); }
  void warn(std::string_view message) const { log(log_level::warn, message); }
  void error(std::string_view message) const { log(log_level::error, message); }

  /// A short text that `rtctl ps` shows beside the task ("12 targets, 1 down"). At most 200 bytes are kept.
  void set_status(std::string_view text) const;

  /// The task's metrics. The first call makes the series, later ones with the same name and labels return it. Names are
  /// as Prometheus wants them ([a-z_][a-z0-9_]*, counters end in _total, base units); at most 1 000 series a task.
  /// @throws std::invalid_argument for a bad name, a name used with another type, or too many series.
  rt::counter counter(std::string_view name, std::string_view help, metric_labels labels = {}) const;
  rt::gauge gauge(std::string_view name, std::string_view help, metric_labels labels = {}) const;
  /// `bounds`: upper bounds of the buckets, growing; +Inf is added.
  rt::histogram histogram(std::string_view name, std::string_view help, std::vector<double> bounds,
                          metric_labels labels = {}) const;

 private:
  detail::task_state* state_;
};

/// The task that the calling green thread belongs to; null outside tasks (in a plain program, say).
task* this_task() noexcept;

}  // namespace rt
