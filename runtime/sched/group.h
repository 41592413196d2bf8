// What the scheduler keeps for each task: a group of green threads.
//
// A green thread inherits the group of its creator. Counters are split by P: only the owner of a P writes its shard, so
// a spawn or an end costs plain stores. Both counters only grow; reading all of `ended` before all of `created` and
// finding them equal proves that the group was empty at a moment in between.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <string>

#include "runtime/sched/cancel_domain.h"

namespace rt::detail {

/// Most Ps that a runtime may have.
inline constexpr int most_procs = 256;

struct group {
  /// `exception_hook` gets what leaves a green thread of the group (never rt::cancelled), on that green thread; it must
  /// not throw. Without one the process ends with a report.
  using exception_hook = void (*)(group&, std::exception_ptr) noexcept;

  explicit group(std::string group_name, std::size_t default_stack_size = 0, exception_hook hook = nullptr,
                 void* owner = nullptr);
  group(const group&) = delete;
  group& operator=(const group&) = delete;
  /// The group must be empty.
  ~group();

  /// Green threads that exist; exact when it says 0, else right at about this moment.
  std::uint64_t live() const noexcept;
  std::uint64_t created() const noexcept;
  /// CPU time in seconds of the group's green threads, without the slices that run at this moment.
  double cpu_seconds() const noexcept;
  /// Parks (or sleeps) until live() <= `remaining` or `deadline` (steady clock, ns) has passed: whether it is so.
  /// Looks again after 50 us, growing to 10 ms. Not ended by cancellation.
  bool wait_until_at_most(std::uint64_t remaining, std::int64_t deadline) const noexcept;

  struct alignas(64) shard {
    std::atomic<std::uint64_t> created{0};
    std::atomic<std::uint64_t> ended{0};
    std::atomic<std::uint64_t> cycles{0};  // of os::cycles(), on this P
  };

  const std::string name;
  void* const owner;             // the task layer's object, for rt::this_task
  const std::size_t stack_size;  // 0: the runtime's default
  const exception_hook on_exception;
  cancel_domain domain;
  std::unique_ptr<shard[]> shards;  // most_procs of them; pages are committed by touch
  shard outside;                    // written by threads without a P, with atomic additions
};

/// The group of the calling green thread; null outside green threads.
group* current_group() noexcept;

}  // namespace rt::detail
