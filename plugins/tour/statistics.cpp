// Statistics: every field of Go's MemStats, under its name there.
#include <algorithm>
#include <string>

#include "say.h"

namespace {

using tour::say;

void say_all(const rt::task& self, const char* when) {
  rt::mem_stats now = rt::read_mem_stats();
  auto line = [&](const char* name, std::uint64_t value) {
    say(self, "%s: %s %llu", when, name, static_cast<unsigned long long>(value));
  };
  line("Alloc", now.alloc);
  line("TotalAlloc", now.total_alloc);
  line("Sys", now.sys);
  line("Lookups", now.lookups);
  line("Mallocs", now.mallocs);
  line("Frees", now.frees);
  line("HeapAlloc", now.heap_alloc);
  line("HeapSys", now.heap_sys);
  line("HeapIdle", now.heap_idle);
  line("HeapInuse", now.heap_inuse);
  line("HeapReleased", now.heap_released);
  line("HeapObjects", now.heap_objects);
  line("StackInuse", now.stack_inuse);
  line("StackSys", now.stack_sys);
  line("MSpanInuse", now.mspan_inuse);
  line("MSpanSys", now.mspan_sys);
  line("MCacheInuse", now.mcache_inuse);
  line("MCacheSys", now.mcache_sys);
  line("BuckHashSys", now.buck_hash_sys);
  line("GCSys", now.gc_sys);
  line("OtherSys", now.other_sys);
  line("NextGC", now.next_gc);
  line("LastGC", now.last_gc);
  line("PauseTotalNs", now.pause_total_ns);
  std::uint32_t kept = std::min<std::uint32_t>(now.num_gc, 5);
  for (std::uint32_t i = 0; i < kept; ++i) {
    std::size_t place = (now.num_gc - i + 255) % 256;
    say(self, "%s: PauseNs[%zu] %llu, PauseEnd[%zu] %llu", when, place,
        static_cast<unsigned long long>(now.pause_ns[place]), place,
        static_cast<unsigned long long>(now.pause_end[place]));
  }
  line("NumGC", now.num_gc);
  line("NumForcedGC", now.num_forced_gc);
  say(self, "%s: GCCPUFraction %.6f", when, now.gc_cpu_fraction);
  say(self, "%s: EnableGC %s", when, now.enable_gc ? "true" : "false");
  say(self, "%s: DebugGC %s", when, now.debug_gc ? "true" : "false");
  for (const rt::mem_stats::size_figures& one : now.by_size) {
    if (one.mallocs == 0) continue;
    say(self, "%s: BySize %u Mallocs %llu Frees %llu", when, one.size, static_cast<unsigned long long>(one.mallocs),
        static_cast<unsigned long long>(one.frees));
  }
}

// A function of its own, so that no word of it is left on the stack of its caller.
[[gnu::noinline]] void allocate(const rt::task& self) {
  constexpr std::size_t count = 1024;
  auto* kept = rt::make_array<rt::ref<char>>(count);
  for (std::size_t i = 0; i < count; ++i) kept[i] = rt::make_array<char>(1024);
  say_all(self, "with 1 MiB");
  rt::keep_alive(kept);
}

void memstats(rt::task& self) {
  say_all(self, "start");
  allocate(self);
  rt::gc();
  say_all(self, "after a collection");
}

}  // namespace

RT_ENTRY(memstats, "All memory statistics at start, after 1 MiB, and after a collection")
