// The allocations of a real program, recorded and played again with other lifetimes, while the heap is checked.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <vector>

#include "rt/go.h"
#include "rt/map.h"
#include "rt/string.h"
#include "rt/vector.h"
#include "rt/wait_group.h"
#include "runtime/heap/heap_state.h"
#include "tests/runtime/heap/pretend_collector.h"
#include "tests/runtime/in_runtime.h"
#include "tests/runtime/seeds.h"

namespace rt::detail {
namespace {

struct event {
  std::size_t size;
  span_kind kind;
};

os::spin_lock recording{os::lock_rank::none};
std::vector<event> recorded RT_GUARDED_BY(recording);

// A program that builds an index of words: strings, vectors and a map that grow.
[[gnu::noinline]] void index_words(std::mt19937 random) {
  map<string, vector<int>> places;
  for (int i = 0; i < 1500; ++i) {
    const std::string word(1 + random() % (random() % 20 == 0 ? 300 : 12), static_cast<char>('a' + random() % 26));
    places[string(word)].push_back(i);
  }
}

std::vector<event> record() {
  static const collector_hooks hooks = [] {
    collector_hooks all;
    all.allocated = [](const void* object, std::size_t size) noexcept {
      const span* in = span_of(reinterpret_cast<std::uintptr_t>(object));
      os::spin_guard guard(recording);
      recorded.push_back({size, in->kind});
    };
    return all;
  }();
  rt_test::settle();
  rt_test::with_world_stopped([] { set_single_slot_runs(true); });
  {
    os::spin_guard guard(recording);
    recorded.reserve(100'000);  // no malloc under the lock
  }
  set_collector_hooks(hooks);
  index_words(rt_test::seeds().source(0));
  the_heap().hooks = nullptr;
  rt_test::settle();
  rt_test::with_world_stopped([] { set_single_slot_runs(false); });
  os::spin_guard guard(recording);
  return std::exchange(recorded, {});
}

RT_ON_PROCS(traces);

TEST_P(traces, of_a_program_are_played_again_on_a_sound_heap) {
  rt_test::seeds seeds;
  run([&] {
    const std::vector<event> trace = record();
    ASSERT_GT(trace.size(), 1000U);
    ASSERT_TRUE(std::any_of(trace.begin(), trace.end(), [](const event& one) { return one.size > 4096; }));
    rt_test::collect({});
    std::mt19937 random = seeds.source(1);
    const heap_figures before = read_heap_figures();
    struct held {
      unsigned char* begin;
      std::size_t size;
      unsigned char pattern;
    };
    std::multimap<std::size_t, held> live;  // by when they die
    const std::size_t events = trace.size() * 2;
    for (std::size_t now = 0; now < events; ++now) {
      const event& one = trace[now % trace.size()];
      auto* begin = static_cast<unsigned char*>(
          allocate(one.size, 8, one.kind == span_kind::destroyed ? span_kind::scanned : one.kind));
      auto pattern = static_cast<unsigned char>(1 + random() % 255);
      std::memset(begin, pattern, one.size);
      // Most die young.
      live.emplace(now + (random() % 8 == 0 ? random() % events : random() % 200), held{begin, one.size, pattern});
      live.erase(live.begin(), live.upper_bound(now));
      if (now % 1000 != 999) continue;
      std::vector<void*> alive;
      std::size_t bytes = 0;
      for (const auto& [until, object] : live) {
        ASSERT_EQ(object.begin[0], object.pattern);
        ASSERT_EQ(object.begin[object.size - 1], object.pattern);
        alive.push_back(object.begin);
        bytes += object.size;
      }
      rt_test::collect(alive);  // each of them checks the heap as a whole
      rt_test::collect(alive);
      const heap_figures after = read_heap_figures();
      ASSERT_EQ(after.live_objects() - before.live_objects(), alive.size());
      ASSERT_GE(after.live_bytes() - before.live_bytes(), bytes);
    }
    rt_test::collect({});
  });
}

}  // namespace
}  // namespace rt::detail
