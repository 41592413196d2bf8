// What a group is entitled to: its weight, class and quota, and its place in the fair queue (fair_queue.h).
#pragma once

#include <atomic>
#include <cstdint>

#include "runtime/sched/cpu_quota.h"

namespace rt::detail {

struct green_thread;

inline constexpr std::uint32_t least_weight = 1;
inline constexpr std::uint32_t default_weight = 100;
inline constexpr std::uint32_t most_weight = 10'000;

/// How a group's green threads get their turn.
enum class share_class : std::uint8_t {
  normal,   // by weight alone
  latency,  // before all others for as long as the budget of the class lasts, then by weight
};

struct group_share {
  // Written under the fair queue's lock, read anywhere.
  std::atomic<std::uint32_t> weight{default_weight};
  std::atomic<share_class> kind{share_class::normal};
  /// CPU time in cycles, multiplied by default_weight / weight. The fair queue serves the group that has the least of
  /// it. A double never wraps, and after a year of CPU time at weight 1 it still resolves a tenth of a microsecond of
  /// it. Any P adds to it; the fair queue lifts it.
  std::atomic<double> virtual_time{0};

  // Guarded by the fair queue's lock.
  green_thread* first = nullptr;  // the group's waiting green threads, oldest first
  green_thread* last = nullptr;
  std::uint32_t waiting = 0;
  double key = 0;  // what virtual_time was when the heap last looked: it only grows, so this is never more
  group_share* child = nullptr;
  group_share* sibling = nullptr;

  cpu_quota quota;

  bool is_default() const noexcept {
    return weight.load(std::memory_order_relaxed) == default_weight &&
           kind.load(std::memory_order_relaxed) == share_class::normal &&
           quota.cpus.load(std::memory_order_relaxed) <= 0;
  }
  /// `spent` cycles of CPU time were used. Any thread.
  void charge(std::uint64_t spent) noexcept {
    double scaled = static_cast<double>(spent) * default_weight / weight.load(std::memory_order_relaxed);
    virtual_time.fetch_add(scaled, std::memory_order_relaxed);
  }
};

}  // namespace rt::detail
