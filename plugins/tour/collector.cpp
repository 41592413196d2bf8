// The collector: its settings, and what garbage costs.
#include <cstdint>

#include "say.h"

namespace {

using tour::say;

void say_collections(const rt::task& self, const char* when) {
  rt::mem_stats now = rt::read_mem_stats();
  say(self, "%s: %u collections, %u forced, all pauses %.3f ms, the last one %.3f ms, next at %.0f KiB", when,
      now.num_gc, now.num_forced_gc, tour::milliseconds(now.pause_total_ns), tour::milliseconds(tour::last_pause(now)),
      tour::kibibytes(now.next_gc));
}

void gc_config(rt::task& self) {
  auto percent = static_cast<int>(self.param_int("percent", 50, 1, 1000));
  int before = rt::set_gc_percent(percent);
  say(self, "percent %d, set to %d", before, percent);
  say_collections(self, "now");
  rt::gc();
  say_collections(self, "after a forced collection");
  rt::set_gc_percent(before);
  say(self, "percent %d again", before);
}

void gc_bench(rt::task& self) {
  std::int64_t count = self.param_int("objects", 1000, 1, 10'000'000);
  rt::mem_stats before = rt::read_mem_stats();
  rt::time_point start = rt::now();
  for (std::int64_t i = 0; i < count; ++i) static_cast<void>(rt::make_array<char>(1024));
  rt::duration creation = rt::now() - start;
  rt::mem_stats full = rt::read_mem_stats();
  start = rt::now();
  rt::gc();
  rt::duration collection = rt::now() - start;
  rt::mem_stats after = rt::read_mem_stats();
  say(self, "%lld objects of 1 KiB made in %.3f ms: %.0f KiB", static_cast<long long>(count),
      tour::milliseconds(creation), tour::kibibytes(full.total_alloc - before.total_alloc));
  say(self, "collected in %.3f ms: %llu objects freed, %u collections", tour::milliseconds(collection),
      static_cast<unsigned long long>(after.frees - before.frees), after.num_gc - before.num_gc);
}

}  // namespace

RT_ENTRY(gc_config, "Sets the percentage, forces a collection, puts it back; params: percent")
RT_ENTRY(gc_bench, "Times the making of garbage and its collection; params: objects")
