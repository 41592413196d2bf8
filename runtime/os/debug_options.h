// The environment variable RT_DEBUG: options for whoever looks for a mistake, separated by commas, NAME or NAME=VALUE.
//
// An option is one line of the table in debug_options.cpp and one member here. Whatever is not understood is said on
// standard error, and the program goes on: a misspelt option must not keep a daemon from starting.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace rt::os {

struct debug_options {
  /// sched=random:SEED: a shuffled run. sched=random chooses a seed from the clock and says it.
  std::optional<std::uint64_t> shuffle_seed;
  /// gcstoptheworld: everything stands still while the collector marks.
  bool stop_to_mark = false;
  /// gccheckmark: after each marking everything is marked once more, while all stand still, and compared.
  bool check_marks = false;
  /// gccheckheap: before each marking the heap's tables, lists and figures are compared with each other.
  bool check_heap = false;
  /// gcverifyrefs: each rt::ref that is stored to must lie where the collector sees it.
  bool check_slots = false;
  /// gctrace: a line on standard error for each cycle.
  bool trace_cycles = false;
  /// gcpoison: what is found dead is filled with 0xdb, so that a use of it shows.
  bool poison_dead = false;
  /// efence: each object has pages of its own, which are closed when it is freed.
  bool no_reuse = false;
  /// gcverifybarrier: what overwrites references without the write barrier is reported (gc/barrier_check.h).
  bool check_barrier = false;
  /// allocfreetrace: a line on standard error for each allocation and each object that is freed.
  bool trace_allocations = false;
  /// gcpacertrace: a line on standard error for each cycle, with what the pacer has worked out.
  bool trace_pacer = false;
  /// gcstress=N: a whole cycle at every N-th allocation; 0: no.
  std::uint64_t stress_every = 0;
};

/// Reads `text`, the value of RT_DEBUG. Adds to `remarks` one line for each part that is not understood, and for each
/// value that was chosen. @throws std::bad_alloc
debug_options parse_debug_options(std::string_view text, std::string& remarks);

/// Reads the environment now, and writes the remarks to standard error. @throws std::bad_alloc
debug_options read_debug_options();

}  // namespace rt::os
