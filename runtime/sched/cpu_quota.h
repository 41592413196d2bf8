// How much CPU time a group may use at most, and has used (cpu_quota.cpp).
#pragma once

#include <atomic>
#include <cstdint>

namespace rt::detail {

struct group;
struct group_share;

struct cpu_quota {
  std::atomic<double> cpus{0};                   // CPUs' worth of time; 0: any. Written under the fair queue's lock
  std::atomic<bool> throttled{false};            // the same: it has used what it may, and nobody runs it
  std::atomic<std::int64_t> throttled_since{0};  // steady clock, ns; 0: it is not
  std::atomic<std::uint64_t> throttled_nanoseconds{0};  // before
  std::atomic<std::uint64_t> throttles{0};

  // Guarded by the fair queue's lock.
  group* of = nullptr;
  group_share* next = nullptr;  // of all that have a quota
  group_share* previous = nullptr;
  double left = 0;         // cycles that it may still use in this period; below 0: it has used too many
  std::uint64_t used = 0;  // its cycles so far, as `left` knows them
};

/// How long a group waited for the next period so far, and how often.
struct throttling {
  double seconds;
  std::uint64_t count;
};

}  // namespace rt::detail
