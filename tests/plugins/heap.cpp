// Tasks that use the collected heap: in peace, and up to their limits.
#include <rt/rt.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

using namespace std::chrono_literals;

namespace {

struct item {
  rt::ref<item> next;
  char filler[1000];
};

rt::ref<item> in_global;

rt::root<item> chain_of(int count) {
  rt::root<item> first;
  for (int i = 0; i < count; ++i) {
    item* fresh = rt::make<item>();
    fresh->next = first.get();
    first = fresh;
  }
  return first;
}

int count_of(rt::task& self) { return std::atoi(self.param("count", "1000").c_str()); }

}  // namespace

// Everything that the heap asks of the system: growing, large objects, arenas that are closed, collections while other
// green threads compute, giving back.
static void churn(rt::task& self) {
  for (int round = 0; round < 3; ++round) {
    rt::wait_group all;
    for (int i = 0; i < 4; ++i) {
      all.go([] {
        rt::root<item> kept = chain_of(3000);
        for (int k = 0; k < 20; ++k) static_cast<void>(rt::make_array<char>(1 << 20));
        rt::arena region;
        for (int k = 0; k < 1000; ++k) static_cast<void>(region.make_array<std::uint64_t>(100));
      });
    }
    rt::gc();
    all.wait();
    rt::gc();
    static_cast<void>(rt::release_memory());
  }
  self.info("churned");
}

// Keeps what it makes, until its limit is reached.
static void fill(rt::task& self) {
  self.set_status("filling");
  rt::root<item> first;
  for (;;) {
    item* fresh = rt::make<item>();
    fresh->next = first.get();
    first = fresh;
  }
}

// Keeps `count` objects of 1 KiB in a chain from a global variable, and logs where the last one is.
static void keep(rt::task& self) {
  rt::root<item> chain = chain_of(count_of(self));
  item* last = chain.get();
  while (last->next != nullptr) last = last->next;
  in_global = chain.get();
  char text[64];
  std::snprintf(text, sizeof text, "last %p", static_cast<void*>(last));
  last = nullptr;
  chain = nullptr;
  self.info(text);
  for (;;) rt::sleep_for(1h);
}

// Makes garbage, `count` KiB at a time with a pause in between.
static void litter(rt::task& self) {
  for (;;) {
    for (int i = 0; i < count_of(self); ++i) static_cast<void>(rt::make<item>());
    rt::sleep_for(1ms);
  }
}

RT_PLUGIN("test-heap", "1.0.0", "Uses the collected heap")
RT_ENTRY(churn, "Allocates, collects and gives back, three times")
RT_ENTRY(fill, "Allocates until its limit is reached")
RT_ENTRY(keep, "Keeps objects")
RT_ENTRY(litter, "Makes garbage")
