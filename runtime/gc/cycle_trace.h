// RT_DEBUG=gctrace and gcpacertrace: a line for each cycle, on standard error.
#pragma once

#include "runtime/gc/collector.h"

namespace rt::detail {

/// `cpu` is what the collector has used of the CPUs so far, `since` the begin of the first run (steady clock, ns).
void trace_cycle(const cycle_report& report, std::int64_t cpu, std::int64_t since) noexcept;

/// What the pacer worked with in a cycle, and what it has concluded for the next. Sizes in bytes.
struct pacer_report {
  std::uint64_t triggered = 0;  // how large the heap was when the cycle began
  double assist_ratio = 0;      // bytes to be looked into for each byte allocated, when it ended
  double cons_mark = 0;         // bytes allocated for each byte looked into, by CPU time, as measured
  std::uint64_t next_trigger = 0;
  std::uint64_t next_goal = 0;
  bool is_limited = false;
};
void trace_pacer(const cycle_report& report, const pacer_report& pace) noexcept;

}  // namespace rt::detail
