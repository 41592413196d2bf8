// The runtime as a whole: what it runs on, and what it can do in a few lines.
#include <sys/utsname.h>

#include <algorithm>
#include <string>

#include "say.h"

namespace {

using namespace std::chrono_literals;
using tour::say;

void overview(rt::task& self) {
  utsname system{};
  uname(&system);
  say(self, "version %s", rt::version());
  say(self, "system %s, architecture %s", system.sysname, system.machine);
  say(self, "CPUs %d", rt::num_cpu());
  int before = rt::max_procs();
  {
    tour::with_processors one(1);
    say(self, "processors %d, set to %d, and back", before, rt::max_procs());
  }
  say(self, "processors %d", rt::max_procs());
  say(self, "green threads %zu", rt::num_green_threads());
  say(self, "heap in use %.0f KiB", tour::kibibytes(rt::read_mem_stats().heap_inuse));
}

void basics(rt::task& self) {
  constexpr int sleepers = 5;
  rt::time_point start = rt::now();
  rt::wait_group all;
  for (int i = 1; i <= sleepers; ++i) {
    all.go([&self, i] {
      rt::sleep_for(100ms);
      say(self, "green thread %d of %d has slept 100 ms", i, sleepers);
    });
  }
  all.wait();
  say(self, "all five took %.0f ms together", tour::milliseconds(rt::now() - start));

  rt::mem_stats before = rt::read_mem_stats();
  say(self, "memory: %.0f KiB allocated so far, %.0f KiB from the system, %u collections",
      tour::kibibytes(before.total_alloc), tour::kibibytes(before.sys), before.num_gc);
  rt::gc();
  rt::mem_stats after = rt::read_mem_stats();
  say(self, "after a forced collection: %u collections, %u of them forced", after.num_gc, after.num_forced_gc);

  rt::runtime_stats stats = rt::read_stats();
  say(self, "stacks: %llu in use, %.0f KiB of address space each", static_cast<unsigned long long>(stats.stacks_in_use),
      tour::kibibytes(stats.stack_in_use_bytes / (stats.stacks_in_use == 0 ? 1 : stats.stacks_in_use)));
  std::string trace = rt::stack_trace();
  for (std::size_t at = 0; at < trace.size();) {
    std::size_t end = std::min(trace.find('\n', at), trace.size());
    if (end != at) say(self, "stack: %s", trace.substr(at, end - at).c_str());
    at = end + 1;
  }
}

}  // namespace

RT_ENTRY(overview, "Version, system, CPUs, processors read and set, green threads, heap in use")
RT_ENTRY(basics, "Five green threads that sleep, statistics, a forced collection, stack size and trace")
