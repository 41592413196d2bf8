// Monitoring from inside, and what a long-lived program does well to do.
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <vector>

#include "say.h"

namespace {

using tour::say;

void monitor(rt::task& self) {
  rt::duration interval = self.param_duration("interval", std::chrono::seconds(1));
  std::int64_t tasks = self.param_int("tasks", 100, 1, 100'000);
  rt::duration unit = self.param_duration("unit", std::chrono::milliseconds(50));
  rt::time_point start = rt::now();
  rt::scope work;
  std::atomic<std::int64_t> done{0};
  for (std::int64_t i = 1; i <= tasks; ++i) {
    work.go([&done, i, unit] {
      for (std::int64_t step = 0; step < i; ++step) {
        static_cast<void>(rt::make_array<char>(1024));
        rt::sleep_for(unit);
      }
      ++done;
    });
  }
  rt::ticker each(interval);
  while (done < tasks) {
    each.channel().recv();
    rt::mem_stats now = rt::read_mem_stats();
    say(self,
        "up %.1f s: green threads %zu, heap %.0f KiB of %.0f KiB, collections %u, pauses %.3f ms, %lld tasks done",
        tour::milliseconds(rt::now() - start) / 1000, rt::num_green_threads(), tour::kibibytes(now.heap_alloc),
        tour::kibibytes(now.sys), now.num_gc, tour::milliseconds(now.pause_total_ns),
        static_cast<long long>(done.load()));
  }
  work.wait();
}

// The last thing of a program: nothing that it let go of is left for others to carry.
struct collect_at_exit {
  const rt::task& self;
  ~collect_at_exit() {
    rt::gc();
    say(self, "collected at exit: %.0f KiB are left", tour::kibibytes(rt::read_mem_stats().heap_alloc));
  }
};

void practice(rt::task& self) {
  rt::duration interval = self.param_duration("interval", std::chrono::seconds(1));
  std::int64_t rounds = self.param_int("rounds", 10, 1, 1'000'000);
  std::int64_t growth = self.param_int("growth_kib", 1024, 0, 1 << 20);
  auto alarm = static_cast<std::uint64_t>(self.param_int("alarm_mib", 100, 1, 1 << 20)) << 20;
  auto leak = static_cast<std::uint64_t>(self.param_int("leak_mib", 50, 1, 1 << 20)) << 20;

  tour::with_processors all(rt::num_cpu());
  say(self, "processors %d, as many as CPUs", rt::max_procs());
  collect_at_exit last{self};
  rt::gc();
  std::uint64_t at_start = rt::read_mem_stats().heap_alloc;
  std::vector<rt::root<char>> held;
  rt::ticker each(interval);
  for (std::int64_t i = 0; i < rounds; ++i) {
    each.channel().recv();
    if (growth != 0) held.emplace_back(rt::make_array<char>(static_cast<std::size_t>(growth) << 10));
    std::uint64_t now = rt::read_mem_stats().heap_alloc;
    say(self, "heap %.0f KiB", tour::kibibytes(now));
    if (now > alarm) {
      tour::warn(self, "alarm: the heap has %.0f KiB, more than %.0f KiB", tour::kibibytes(now),
                 tour::kibibytes(alarm));
    }
    if (now <= at_start + leak) continue;
    rt::gc();  // what is still there now is reachable
    now = rt::read_mem_stats().heap_alloc;
    if (now <= at_start + leak) continue;
    tour::warn(self, "a leak? %.0f KiB more are reachable than at the start", tour::kibibytes(now - at_start));
  }
}

}  // namespace

RT_ENTRY(monitor,
         "Says each interval how the runtime is while tasks of growing length run; params: interval, tasks, unit")
RT_ENTRY(practice,
         "Processors, memory alarm, leak watch, collection at exit; params: interval, rounds, growth_kib, "
         "alarm_mib, leak_mib")
