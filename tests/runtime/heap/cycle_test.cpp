// Cycles of a collector that is told what is alive, against a model of what every object holds.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <unordered_set>
#include <vector>

#include "rt/go.h"
#include "rt/make.h"
#include "rt/wait_group.h"
#include "runtime/heap/dead_objects.h"
#include "runtime/heap/heap_state.h"
#include "tests/runtime/heap/pretend_collector.h"
#include "tests/runtime/in_runtime.h"
#include "tests/runtime/seeds.h"

namespace rt::detail {
namespace {

RT_ON_PROCS(cycles);

struct held_object {
  unsigned char* begin;
  std::size_t size;
  unsigned char pattern;
};

// The objects that one green thread holds.
class holder {
 public:
  explicit holder(std::mt19937 random) : random_(random) {}

  void allocate_some(int count) {
    for (int i = 0; i < count; ++i) {
      std::size_t size =
          random_() % 64 == 0 ? 1 + random_() % 100'000 : 1 + random_() % (random_() % 8 == 0 ? 8000 : 200);
      auto kind = random_() % 2 == 0 ? span_kind::scanned : span_kind::plain;
      auto* begin = static_cast<unsigned char*>(allocate(size, 8, kind));
      if (kind == span_kind::scanned) {
        ASSERT_TRUE(std::all_of(begin, begin + size, [](unsigned char one) { return one == 0; })) << size;
      }
      auto pattern = static_cast<unsigned char>(1 + random_() % 255);
      std::memset(begin, pattern, size);
      held.push_back({begin, size, pattern});
    }
  }
  void check() const {
    for (const held_object& one : held) {
      for (std::size_t i = 0; i<one.size; i += one.size> 256 ? 61 : 1) {
        ASSERT_EQ(one.begin[i], one.pattern) << "byte " << i << " of an object of " << one.size;
      }
    }
  }
  void forget_some() {
    std::erase_if(held, [&](const held_object&) { return random_() % 3 == 0; });
  }

  std::vector<held_object> held;

 private:
  std::mt19937 random_;
};

// Green threads allocate while marking is on and while it is off, and while others sweep; what they hold stays what it
// is, and in the end the heap holds just that.
TEST_P(cycles, live_objects_stay_and_dead_ones_go) {
  rt_test::seeds seeds;
  run([&] {
    constexpr int threads = 4;
    std::vector<holder> holders;
    for (unsigned i = 0; i < threads; ++i) holders.emplace_back(seeds.source(i));
    auto everybody = [&](int count) {
      wait_group done;
      for (holder& one : holders) {
        done.add(1);
        go([&] {
          one.allocate_some(count);
          done.done();
        });
      }
      done.wait();
    };
    rt_test::collect({});  // what earlier tests have left
    heap_figures before = read_heap_figures();
    for (int round = 0; round < 6; ++round) {
      everybody(rt_test::scaled(800));  // while the last cycle is being swept
      rt_test::begin_mark();
      for (holder& one : holders) {
        one.check();
        one.forget_some();
      }
      everybody(rt_test::scaled(300));  // what is made while marking survives the cycle
      for (holder& one : holders) {
        for (const held_object& object : one.held) rt_test::mark(object.begin);
      }
      rt_test::end_mark();
      wait_group swept;
      swept.add(1);
      go([&] {
        while (sweep_some(7)) yield();
        swept.done();
      });
      everybody(rt_test::scaled(300));
      swept.wait();
      for (holder& one : holders) one.check();
    }
    std::vector<void*> live;
    std::size_t bytes = 0;
    for (holder& one : holders) {
      for (const held_object& object : one.held) {
        live.push_back(object.begin);
        object_place place{};
        ASSERT_TRUE(find_object(reinterpret_cast<std::uintptr_t>(object.begin), place));
        bytes += place.size;
      }
    }
    rt_test::collect(live);
    rt_test::collect(live);  // what caches held during the first one is swept by now
    heap_figures after = read_heap_figures();
    EXPECT_EQ(after.live_objects() - before.live_objects(), live.size());
    EXPECT_EQ(after.live_bytes() - before.live_bytes(), bytes);
    rt_test::collect({});
    EXPECT_EQ(read_heap_figures().live_objects(), before.live_objects());
  });
}

TEST_P(cycles, objects_made_while_marking_survive) {
  run([] {
    rt_test::begin_mark();
    std::vector<int*> made;
    for (int i = 0; i < 2000; ++i) {
      made.push_back(make_array<int>(3));
      *made.back() = i;
      object_place place{};
      ASSERT_TRUE(find_object(reinterpret_cast<std::uintptr_t>(made.back()), place));
      ASSERT_TRUE(place.in->is_marked(place.index)) << "handed out without mark";
    }
    char* large = make_array<char>(1 << 20);
    rt_test::end_mark();
    rt_test::finish_sweep();
    std::unordered_set<int*> known(made.begin(), made.end());
    for (int i = 0; i < 4000; ++i) ASSERT_EQ(known.count(make_array<int>(3)), 0U);
    for (int i = 0; i < 2000; ++i) EXPECT_EQ(*made[static_cast<std::size_t>(i)], i);
    object_place place{};
    EXPECT_TRUE(find_object(reinterpret_cast<std::uintptr_t>(large), place));
  });
}

// An open run is marked as a whole; the slots that nobody had got are free again after the cycle.
TEST_P(cycles, what_is_left_of_a_marked_run_is_not_kept) {
  run([] {
    rt_test::collect({});
    heap_figures before = read_heap_figures();
    rt_test::begin_mark();
    void* only = allocate(64, 8, span_kind::scanned);
    rt_test::end_mark();
    rt_test::finish_sweep();
    EXPECT_EQ(read_heap_figures().live_objects() - before.live_objects(), 1U);
    rt_test::collect({only});
    EXPECT_EQ(read_heap_figures().live_objects() - before.live_objects(), 1U);
    rt_test::collect({});
    EXPECT_EQ(read_heap_figures().live_objects(), before.live_objects());
  });
}

TEST_P(cycles, empty_spans_give_their_pages_back) {
  run([] {
    rt_test::collect({});
    std::uint64_t before = read_heap_figures().span_bytes;
    for (int i = 0; i < 20'000; ++i) static_cast<void>(allocate(256, 8, span_kind::plain));
    EXPECT_GE(read_heap_figures().span_bytes - before, 20'000U * 256);
    rt_test::collect({});
    EXPECT_LE(read_heap_figures().span_bytes, before);
  });
}

struct counts_its_end {
  explicit counts_its_end(int* ends) : count(ends) {}
  counts_its_end(const counts_its_end&) = delete;
  counts_its_end& operator=(const counts_its_end&) = delete;
  ~counts_its_end() { ++*count; }
  int* count;
  char padding[40000] = {};
};
struct small_one {
  explicit small_one(int* ends) : count(ends) {}
  small_one(const small_one&) = delete;
  small_one& operator=(const small_one&) = delete;
  ~small_one() { ++*count; }
  int* count;
};

int call_destructors() {
  int called = 0;
  while (heap_owner* next = serve_next_owner([](heap_owner&) noexcept { return true; })) {
    dead_object one;
    while (take_dead_object(*next, one)) {
      one.how(one.object);
      destructor_called(one);
      ++called;
    }
  }
  return called;
}

TEST_P(cycles, dead_objects_are_destroyed_once_and_freed_then) {
  run([] {
    rt_test::collect({});
    call_destructors();
    rt_test::collect({});
    heap_figures before = read_heap_figures();
    int ends = 0;
    std::vector<void*> objects;
    for (int i = 0; i < 500; ++i) objects.push_back(make<small_one>(&ends));
    objects.push_back(make<counts_its_end>(&ends));
    rt_test::collect({objects[3], objects.back()});
    EXPECT_EQ(dead_object_count(), 499U);
    EXPECT_EQ(ends, 0) << "a sweep calls nothing";
    EXPECT_EQ(read_heap_figures().live_objects() - before.live_objects(), 501U) << "they wait for their destructors";
    rt_test::collect({});
    EXPECT_EQ(dead_object_count(), 501U) << "each is queued once";
    EXPECT_EQ(call_destructors(), 501);
    EXPECT_EQ(ends, 501);
    rt_test::collect({});
    EXPECT_EQ(dead_object_count(), 0U);
    EXPECT_EQ(read_heap_figures().live_objects(), before.live_objects());
    EXPECT_EQ(ends, 501);
  });
}

TEST_P(cycles, an_object_whose_constructor_throws_is_freed_without_destructor) {
  struct throws {
    throws() { throw std::runtime_error("no"); }
    ~throws() { std::abort(); }
    long payload[4] = {};
  };
  run([] {
    rt_test::collect({});
    heap_figures before = read_heap_figures();
    for (int i = 0; i < 10; ++i) EXPECT_THROW(static_cast<void>(make<throws>()), std::runtime_error);
    rt_test::collect({});
    EXPECT_EQ(dead_object_count(), 0U);
    EXPECT_EQ(read_heap_figures().live_objects(), before.live_objects());
  });
}

TEST_P(cycles, single_slot_runs_tell_the_collector_of_each_allocation) {
  static std::atomic<int> calls;
  static const collector_hooks hooks = {[](heap_owner&, std::size_t) { calls.fetch_add(1, std::memory_order_relaxed); },
                                        nullptr, nullptr, nullptr};
  run([] {
    set_collector_hooks(hooks);
    rt_test::finish_sweep();
    rt_test::with_world_stopped([] {
      begin_mark();
      rt_test::mark_all();
      end_mark();
      set_single_slot_runs(true);
    });
    calls = 0;
    for (int i = 0; i < 100; ++i) static_cast<void>(allocate(40, 8, span_kind::scanned));
    EXPECT_EQ(calls, 100);
    for (int i = 0; i < 100; ++i) static_cast<void>(make<char>());
    EXPECT_EQ(calls, 200);
    rt_test::with_world_stopped([] { set_single_slot_runs(false); });
    calls = 0;
    for (int i = 0; i < 1000; ++i) static_cast<void>(allocate(40, 8, span_kind::scanned));
    EXPECT_LT(calls, 20);
    the_heap().hooks = nullptr;
  });
}

#if !defined(RT_ADDRESS_SANITIZER)  // which does not let the test look
TEST_P(cycles, freed_slots_are_filled_when_asked) {
  run([] {
    set_fill_of_dead(true);
    std::vector<unsigned char*> objects;
    for (std::size_t size : {64UL, 1000UL, 50'000UL}) {
      for (auto kind : {span_kind::plain, span_kind::scanned}) {
        for (int i = 0; i < 3; ++i) {
          objects.push_back(static_cast<unsigned char*>(allocate(size, 8, kind)));
          std::memset(objects.back(), 1, size);
        }
      }
    }
    std::vector<void*> live;
    for (std::size_t i = 0; i < objects.size(); i += 3) live.push_back(objects[i]);
    rt_test::collect(live);
    set_fill_of_dead(false);
    for (std::size_t i = 0; i < objects.size(); ++i) EXPECT_EQ(objects[i][63], i % 3 == 0 ? 1 : 0xdb) << i;
    auto* again = static_cast<unsigned char*>(allocate(64, 8, span_kind::scanned));
    EXPECT_EQ(again[63], 0);
  });
}
#endif

bool faults(const void* address) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return false;
  // Not by the C library's function, which AddressSanitizer has one of its own for.
  bool faulted = syscall(SYS_write, ends[1], address, 1) < 0 && errno == EFAULT;
  close(ends[0]);
  close(ends[1]);
  return faulted;
}

TEST_P(cycles, freed_pages_are_closed_for_good_when_asked) {
  run([] {
    auto choose = [](bool on) {
      rt_test::settle();
      rt_test::with_world_stopped([&] {
        set_single_slot_runs(on);
        set_no_reuse(on);
      });
    };
    choose(true);
    std::vector<void*> objects;
    std::unordered_set<std::uint32_t> pages;
    auto allocate_some = [&](int count) {
      for (int i = 0; i < count; ++i) {
        for (std::size_t size : {1UL, 24UL, 3000UL, 40'000UL}) {
          objects.push_back(allocate(size, 8, i % 2 == 0 ? span_kind::plain : span_kind::scanned));
          auto address = reinterpret_cast<std::uintptr_t>(objects.back());
          EXPECT_TRUE(pages.insert(the_layout.page_of(address)).second) << "a page is used again";
        }
      }
    };
    allocate_some(20);
    std::vector<void*> live;
    for (std::size_t i = 0; i < objects.size(); i += 3) live.push_back(objects[i]);
    rt_test::collect(live);
    for (std::size_t i = 0; i < objects.size(); ++i) {
      auto address = reinterpret_cast<std::uintptr_t>(objects[i]);
      EXPECT_EQ(faults(objects[i]), i % 3 != 0) << i;
      EXPECT_STREQ(describe_heap_address(address),
                   i % 3 == 0 ? "an object of the collected heap" : "a freed object of the collected heap");
    }
    allocate_some(20);
    heap_figures full = read_heap_figures();
    rt_test::collect({});
    heap_figures empty = read_heap_figures();
    EXPECT_GE(empty.released_bytes - full.released_bytes, live.size() * heap_page_size) << "their memory has gone";
    choose(false);
    EXPECT_FALSE(faults(allocate(24, 8, span_kind::plain)));
    rt_test::collect({});
  });
}

// Attachments keep what they mark now, and are asked before anything of their span is freed.
TEST_P(cycles, attachments_are_asked_before_the_sweep) {
  static void* kept;
  static const collector_hooks hooks = {nullptr, nullptr, nullptr, [](span& one) noexcept {
                                          object_place place{};
                                          find_object(reinterpret_cast<std::uintptr_t>(kept), place);
                                          if (place.in == &one) one.try_mark(place.index);
                                        }};
  run([] {
    kept = allocate(700, 8, span_kind::scanned);
    std::memset(kept, 0x5a, 700);
    set_collector_hooks(hooks);
    int mine = 0;
    span_of(reinterpret_cast<std::uintptr_t>(kept))->attachments = &mine;
    rt_test::collect({});
    EXPECT_TRUE(rt_test::mark(kept));
    EXPECT_EQ(static_cast<unsigned char*>(kept)[699], 0x5a);
    span_of(reinterpret_cast<std::uintptr_t>(kept))->attachments = nullptr;
    the_heap().hooks = nullptr;
    rt_test::collect({});
    rt_test::collect({});
    EXPECT_FALSE(rt_test::mark(kept));
  });
}

}  // namespace
}  // namespace rt::detail
