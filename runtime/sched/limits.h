// Limits of what a group may have: which there are, and how it becomes known that one was met.
//
// Whoever meets a limit may be in any place, with a lock or in the scheduler, so it only leaves a bit and calls a hook
// that does as little; who tells people about it takes the bits later, on a thread of its own.
#pragma once

#include <atomic>
#include <cstdint>

#include "runtime/os/spin_lock.h"

namespace rt::detail {

struct group;

/// The value of a limit that is none.
inline constexpr std::uint64_t no_limit = UINT64_MAX;

enum class limit_kind : std::uint8_t { green_threads, connections, log_rate, cpus };
inline constexpr limit_kind all_limit_kinds[] = {limit_kind::green_threads, limit_kind::connections,
                                                 limit_kind::log_rate, limit_kind::cpus};

/// The limits of a group that were met since somebody last asked.
class met_limits {
 public:
  /// Must neither wait nor allocate.
  using hook = void (*)(group&) noexcept;

  /// Who is called when one is met. Before the group has green threads.
  void tell(hook whom) noexcept { hook_.store(whom, std::memory_order_relaxed); }
  /// On a green thread of the group, or with the group kept from ending.
  void add(group& of, limit_kind kind) noexcept {
    // Release: pairs with take; the figures that it then reads are at least those of now.
    bits_.fetch_or(bit(kind), std::memory_order_release);
    if (hook whom = hook_.load(std::memory_order_relaxed); whom != nullptr) whom(of);
  }
  /// The bits of those since the last call. Any thread.
  std::uint32_t take() noexcept { return bits_.exchange(0, std::memory_order_acquire); }  // pairs with add
  static std::uint32_t bit(limit_kind kind) noexcept { return std::uint32_t{1} << static_cast<unsigned>(kind); }

 private:
  std::atomic<std::uint32_t> bits_{0};
  std::atomic<hook> hook_{nullptr};
};

/// How many green threads a group may have (green_thread_limit.cpp).
struct green_thread_limit {
  os::spin_lock lock{os::lock_rank::none};
  std::atomic<std::uint64_t> most{no_limit};  // written under the lock
  std::atomic<std::uint64_t> refused{0};      // starts
  bool is_met RT_GUARDED_BY(lock) = false;    // and it had not much less since
};

}  // namespace rt::detail
