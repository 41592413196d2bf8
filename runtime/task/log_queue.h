// The way of log lines from green threads to whoever writes them out.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "rt/task.h"
#include "runtime/os/spin_lock.h"

namespace rt::detail {

/// Who a task is. Shared by its log lines, which may outlive it.
struct task_identity {
  std::string id;
  std::string plugin;
  std::string entry;
};

struct log_line {
  std::shared_ptr<const task_identity> task;  // null: the host itself speaks
  log_level level = log_level::info;
  std::chrono::system_clock::time_point time;
  std::string message;  // printable text
};

/// A bounded queue with many writers, which never block, and one reader, which may sleep. A line that finds the queue
/// full is dropped and counted: an operator's slow log must not slow the work down.
class log_queue {
 public:
  explicit log_queue(std::size_t most_lines = 4096, std::size_t most_bytes = 4 << 20);
  log_queue(const log_queue&) = delete;
  log_queue& operator=(const log_queue&) = delete;

  /// Lines below this level are not taken at all. Any thread.
  void set_level(log_level least) noexcept { level_.store(least, std::memory_order_relaxed); }
  bool wants(log_level level) const noexcept { return level >= level_.load(std::memory_order_relaxed); }

  /// Adds a line, in order with the others. Takes a lock for a few instructions, allocates nothing. False: dropped.
  bool push(log_line line) noexcept;

  /// Moves all lines that are there to the end of `to`. The reader's.
  void take(std::vector<log_line>& to);

  /// Sleeps until there may be a line, wake() was called, or `most` has passed. The reader's.
  void wait(std::chrono::milliseconds most) noexcept;
  /// Ends the reader's wait, now or the next one. Any thread.
  void wake() noexcept;

  /// Counts a line that could not even be made.
  void count_dropped() noexcept { dropped_.fetch_add(1, std::memory_order_relaxed); }
  /// Lines dropped since the beginning.
  std::uint64_t dropped() const noexcept { return dropped_.load(std::memory_order_relaxed); }

 private:
  os::spin_lock lock_{os::lock_rank::none};
  std::vector<log_line> ring_;
  std::size_t first_ = 0;
  std::size_t count_ = 0;
  std::size_t bytes_ = 0;
  const std::size_t most_bytes_;
  std::atomic<log_level> level_{log_level::info};
  std::atomic<std::uint64_t> dropped_{0};
  std::atomic<std::uint32_t> signal_{0};  // grows when the reader has something to look at
  std::uint32_t seen_ = 0;                // the reader's last look at signal_
  std::atomic<bool> reader_sleeps_{false};
};

}  // namespace rt::detail
