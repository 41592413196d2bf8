// What things cost in the model, in nanoseconds.
#pragma once

namespace bench_simulation {

struct costs {
  // The runtime's own work with everything in the nearest cache; what docs/performance.md shows, less the locked
  // instructions, which the model counts by itself.
  double decision = 6;     ///< choosing the next green thread and switching to it
  double spawn = 30;       ///< making a green thread
  double end = 10;         ///< recycling one
  double wake = 8;         ///< the caller's side of a wake-up, without the queues
  double clock = 25;       ///< reading the clock
  double look = 2;         ///< a look at one word that is in the own cache
  double poll = 500;       ///< asking the network poller without waiting
  double global_each = 3;  ///< linking one green thread into or out of the global queue, under its lock

  // The machine; measure_costs() finds these of the machine that it runs on, and `clock`.
  double locked = 5;  ///< an atomic instruction on a line that is in the own cache
  // The kernel's wake-ups: assumed, for cores that are not virtual and sleep lightly. A hypervisor makes them slower.
  double futex_wake = 3'000;    ///< the system call, for who wakes
  double wake_latency = 5'000;  ///< from the system call until the woken thread runs

  // A line that another core has written last: between cores of one group (they share a cache), of one socket, of two.
  // Published for two AMD EPYC 7R13 with 48 cores each (github.com/nviennot/core-to-core-latency): 23, 107 and 197.
  double same_group = 23;
  double same_socket = 107;
  double other_socket = 197;
  int group_cores = 8;
  int socket_cores = 96;
};

/// The same, with the figures of this machine for `locked` and `clock` and, where it has two CPUs or more, for
/// `futex_wake` and `wake_latency`. Takes about a fifth of a second.
costs measure_costs();

}  // namespace bench_simulation
