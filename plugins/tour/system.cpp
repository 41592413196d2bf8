// Memory from the system: what there is, and how it grows with allocations.
#include <chrono>
#include <thread>

#include "say.h"

namespace {

using tour::say;

void say_memory(const rt::task& self, int allocations) {
  rt::mem_stats now = rt::read_mem_stats();
  say(self, "after %d allocations: system %.0f KiB, heap %.0f KiB (%.0f KiB in use), stacks %.0f KiB", allocations,
      tour::kibibytes(now.sys), tour::kibibytes(now.heap_sys), tour::kibibytes(now.heap_inuse),
      tour::kibibytes(now.stack_sys));
}

void syscalls(rt::task& self) {
  constexpr int count = 1000;
  auto* kept = rt::make_array<rt::ref<char>>(count);
  say_memory(self, 0);
  for (int i = 1; i <= count; ++i) {
    kept[i - 1] = rt::make_array<char>(10 * 1024);
    if (i % 100 == 0) say_memory(self, i);
  }
  rt::keep_alive(kept);
  // A call that blocks its kernel thread does not keep the processor.
  rt::runtime_stats before = rt::read_stats();
  rt::blocking([] { std::this_thread::sleep_for(std::chrono::milliseconds(20)); });
  say(self, "a blocking call of 20 ms: %llu processors were handed on",
      static_cast<unsigned long long>(rt::read_stats().handoffs_total - before.handoffs_total));
}

}  // namespace

RT_ENTRY(syscalls, "System, heap and stack memory over 1 000 allocations, and a blocking call")
