// The scheduler: green threads on few processors, and what it says of itself while it works.
#include <cstdint>

#include "say.h"

namespace {

using tour::say;

// Some work that calls nothing, so that only preemption shares the processors out.
void compute(rt::duration length) {
  rt::time_point end = rt::now() + length;
  while (rt::now() < end) {
    for (int i = 0; i < 1000; ++i) asm volatile("" ::: "memory");
  }
}

void workers(rt::task& self) {
  std::int64_t count = self.param_int("workers", 5, 1, 1000);
  std::int64_t steps = self.param_int("steps", 3, 1, 1000);
  rt::duration step = self.param_duration("step", std::chrono::milliseconds(10));
  tour::with_processors two(2);
  rt::runtime_stats before = rt::read_stats();
  rt::wait_group all;
  for (std::int64_t worker = 1; worker <= count; ++worker) {
    all.go([&self, worker, steps, step] {
      for (std::int64_t i = 1; i <= steps; ++i) {
        compute(step);
        say(self, "worker %lld: step %lld", static_cast<long long>(worker), static_cast<long long>(i));
        rt::yield();
      }
    });
  }
  all.wait();
  rt::runtime_stats after = rt::read_stats();
  say(self, "all %lld workers are done, on %d processors: %llu switches, %llu steals, %llu preemptions",
      static_cast<long long>(count), rt::max_procs(),
      static_cast<unsigned long long>(after.switches_total - before.switches_total),
      static_cast<unsigned long long>(after.steals_total - before.steals_total),
      static_cast<unsigned long long>(after.preemptions_total - before.preemptions_total));
}

void sched_monitor(rt::task& self) {
  constexpr int tasks = 10;
  rt::duration interval = self.param_duration("interval", std::chrono::seconds(1));
  std::int64_t rounds = self.param_int("rounds", 5, 1, 1'000'000);
  rt::scope scope;
  for (int i = 0; i < tasks; ++i) {
    scope.go([interval] {
      while (true) {
        compute(interval / 200);
        rt::sleep_for(interval / 50);
      }
    });
  }
  rt::ticker each(interval);
  for (std::int64_t i = 0; i < rounds; ++i) {
    each.channel().recv();
    rt::runtime_stats now = rt::read_stats();
    say(self, "green threads %llu (%llu runnable, %llu waiting), CPUs %d, processors %d (%d idle), threads %d",
        static_cast<unsigned long long>(now.green_threads), static_cast<unsigned long long>(now.runnable),
        static_cast<unsigned long long>(now.waiting), rt::num_cpu(), now.procs, now.idle_procs, now.threads);
  }
  scope.cancel();
  scope.wait();
}

}  // namespace

RT_ENTRY(workers, "Workers of some steps on two processors; params: workers, steps, step (time of one)")
RT_ENTRY(sched_monitor, "Says what the scheduler has while ten green threads work; params: interval, rounds")
