// The life of a runtime inside a process, as rt::run and test bubbles need it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>

#include "rt/runtime.h"
#include "runtime/os/debug_options.h"

namespace rt::detail {

struct run_settings {
  int procs;
  std::size_t stack_size;
  int max_threads;
  deadlock_policy on_deadlock;                // of the whole program
  bool follow_cpus;                           // the number of Ps follows the CPUs that the process may use
  std::optional<std::uint64_t> shuffle_seed;  // a shuffled run
  bool virtual_time = false;                  // a bubble; with one P
  os::debug_options debug{};                  // of the collector
};

/// As rt::run. @throws std::logic_error, std::system_error, rt::test::deadlock, and what the function throws
int run_scheduler(std::function<int()> main_function, const run_settings& settings);

}  // namespace rt::detail
