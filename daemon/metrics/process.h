// Figures of a process, read from /proc.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

namespace rtd::metrics {

/// Sizes in bytes, times in seconds. What could not be read is absent (another user's descriptors, say).
struct process_figures {
  double user_seconds = 0;
  double system_seconds = 0;
  std::uint64_t threads = 0;
  std::uint64_t resident_bytes = 0;
  std::uint64_t virtual_bytes = 0;
  double start_time_seconds = 0;                   ///< Unix time
  std::optional<std::uint64_t> open_files;         ///< descriptors in use
  std::optional<std::uint64_t> max_files;          ///< soft limit; absent when unlimited
  std::optional<std::uint64_t> max_virtual_bytes;  ///< soft limit; absent when unlimited
};

/// Reads the figures of a process; nullopt when it does not exist (any more). Takes some 50 us; does not block.
std::optional<process_figures> read_process(pid_t pid);
/// The same of the calling process.
std::optional<process_figures> read_self();

/// The parsing behind read_process, apart so that it can be tested: the text of /proc/<pid>/stat and
/// /proc/<pid>/limits, `boot_time` in Unix seconds, `ticks` a second and `page_size` in bytes. nullopt when `stat`
/// cannot be read as such.
std::optional<process_figures> parse_process(const std::string& stat, const std::string& limits, double boot_time,
                                             long ticks, long page_size);

}  // namespace rtd::metrics
