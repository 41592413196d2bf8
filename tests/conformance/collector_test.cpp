// Behaviours 86 to 107: the heap and the collector.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <memory>
#include <random>
#include <utility>

#include "runtime/gc/collector.h"
#include "tests/conformance/conformance.h"

namespace {

using conformance::eventually;
using conformance::scaled;

constexpr std::uint64_t mib = 1 << 20;

RT_ON_PROCS(collector);

/// Memory that the runtime has for objects: what is mapped and not given back, and its tables.
std::uint64_t held_memory() {
  rt::mem_stats now = rt::read_mem_stats();
  return now.heap_sys - now.heap_released + now.mspan_sys + now.mcache_sys + now.gc_sys;
}

/// A node whose contents tell whether it is whole.
struct leaf {
  explicit leaf(std::uint64_t key) : number(key), check(~key) {}
  bool is_intact() const { return number == ~check; }
  std::uint64_t number;
  std::uint64_t check;
  rt::ref<leaf> next;
};

[[gnu::noinline]] leaf* make_leaves(std::uint64_t count) {
  leaf* first = nullptr;
  for (std::uint64_t i = 0; i < count; ++i) {
    leaf* fresh = rt::make<leaf>(i);
    fresh->next = first;
    first = fresh;
  }
  return first;
}

std::uint64_t count_intact(const leaf* first) {
  std::uint64_t count = 0;
  for (; first != nullptr && first->is_intact(); first = first->next) ++count;
  return count;
}

TEST_P(collector, b086_a_gigabyte_of_garbage_takes_little_memory) {
  run([] {
    for (int i = 0; i < 1000; ++i) static_cast<void>(rt::make_array<char>(1000));
    rt::gc();
    rt::gc();  // knows what the roots take, for which the goal leaves room: ASan's data segments have 12 MB
    constexpr std::uint64_t least_goal = 4 * mib;
    std::uint64_t for_roots = rt::read_mem_stats().next_gc - least_goal;
    std::uint64_t before = held_memory();
    int rounds = scaled(1'000'000);
    for (int i = 0; i < rounds; ++i) static_cast<void>(rt::make_array<char>(1000));
    std::uint64_t after = held_memory();
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    constexpr std::uint64_t little = 48 * mib;  // more is allocated while an instrumented collector is off its CPU
#else
    constexpr std::uint64_t little = 16 * mib;
#endif
    EXPECT_LE(after, before + little + for_roots);
  });
}

TEST_P(collector, b087_deep_chains_large_objects_and_inner_pointers) {
  run([] {
    leaf* deep = make_leaves(static_cast<std::uint64_t>(scaled(500'000)));
    constexpr std::size_t many = 200'000;
    auto* large = rt::make_array<rt::ref<leaf>>(many);
    for (std::size_t i = 0; i < many; i += 100) large[i] = rt::make<leaf>(i);
    large[many - 1] = rt::make<leaf>(1);
    rt::ref<leaf>* inner = large + many / 2;
    large = nullptr;
    for (int i = 0; i < 2; ++i) rt::gc();
    EXPECT_EQ(count_intact(deep), static_cast<std::uint64_t>(scaled(500'000)));
    std::size_t intact = 0;
    for (std::size_t i = 0; i < many; i += 100) intact += inner[i - many / 2]->is_intact() ? 1 : 0;
    EXPECT_EQ(intact, many / 100);
  });
}

leaf* plain_global = nullptr;
rt::ref<leaf> global;

TEST_P(collector, b088_globals_stacks_closures_and_channels_keep_what_they_refer_to) {
  run([] {
    global = make_leaves(10);
    plain_global = make_leaves(11);
    leaf* local = make_leaves(12);
    rt::chan<rt::ref<leaf>> references(2);
    references.send(make_leaves(13));
    rt::chan<leaf*> pointers(2);
    pointers.send(make_leaves(14));
    rt::chan<std::uint64_t> answer(1);
    rt::go([kept = rt::ref<leaf>(make_leaves(15)), answer] { answer.send(count_intact(kept)); });
    for (int i = 0; i < 3; ++i) {
      rt::gc();
      static_cast<void>(make_leaves(1000));
    }
    EXPECT_EQ(count_intact(global), 10U);
    EXPECT_EQ(count_intact(plain_global), 11U);
    EXPECT_EQ(count_intact(local), 12U);
    EXPECT_EQ(count_intact(*references.recv()), 13U);
    EXPECT_EQ(count_intact(*pointers.recv()), 14U);
    EXPECT_EQ(answer.recv(), 15U);
    global = nullptr;
    plain_global = nullptr;
  });
}

// Each green thread has all kinds of variables that refer to objects of its own, and changes them in random order.
struct variables {
  explicit variables(std::uint64_t key) : of(key) {}
  std::uint64_t of;
  rt::ref<leaf> member{rt::make<leaf>(of)};
  rt::ref<rt::ref<leaf>> array{rt::make_array<rt::ref<leaf>>(16)};
};

bool mutate(std::uint64_t key, int steps, unsigned seed) {
  std::minstd_rand random(seed + static_cast<unsigned>(key));
  auto* mine = rt::make<variables>(key);
  leaf* on_stack = rt::make<leaf>(key);
  rt::chan<rt::ref<leaf>> through(1);
  rt::root<leaf> rooted(rt::make<leaf>(key));
  auto holder = std::make_unique<rt::root<leaf>>(rooted);
  auto is_mine = [key](const leaf* one) { return one == nullptr || (one->is_intact() && one->number == key); };
  for (int i = 0; i < steps; ++i) {
    std::size_t place = random() % 16;
    switch (random() % 7) {
      case 0:
        mine->member = rt::make<leaf>(key);
        break;
      case 1:
        mine->array[place] = std::exchange(on_stack, rt::make<leaf>(key));
        break;
      case 2:
        on_stack = mine->array[place];
        mine->array[place] = nullptr;
        break;
      case 3:
        if (!through.try_send(rt::ref<leaf>(mine->member))) on_stack = *through.recv();
        break;
      case 4:
        *holder = on_stack;
        on_stack = rooted;
        break;
      case 5:
        rooted = mine->member;
        rt::yield();
        break;
      default: {
        rt::ref<leaf> captured(on_stack);
        on_stack = nullptr;
        bool whole = false;
        rt::scope inner;
        inner.go([&whole, captured, &is_mine] { whole = is_mine(captured); });
        inner.wait();
        if (!whole) return false;
        on_stack = captured;
        break;
      }
    }
    if (!is_mine(on_stack) || !is_mine(mine->member) || !is_mine(mine->array[place]) || !is_mine(*holder)) return false;
  }
  return true;
}

TEST_P(collector, b089_variables_of_all_kinds_survive_back_to_back_collections) {
  unsigned seed = conformance::printed_seed();
  run([seed] {
    std::atomic<int> left{8};
    std::atomic<int> whole{0};
    rt::wait_group all;
    for (std::uint64_t i = 0; i < 8; ++i) {
      all.go([&, i] {
        whole += mutate(i + 1, scaled(2000), seed) ? 1 : 0;
        --left;
      });
    }
    while (left != 0) rt::gc();
    all.wait();
    EXPECT_EQ(whole, 8);
  });
}

TEST_P(collector, b091_the_second_marking_finds_nothing_new) {
  setenv("RT_DEBUG", "gccheckmark", 1);
  run([] {
    std::atomic<int> whole{0};
    rt::wait_group all;
    std::atomic<int> left{4};
    for (std::uint64_t i = 0; i < 4; ++i) {
      all.go([&, i] {
        whole += mutate(i + 1, scaled(500), 7) ? 1 : 0;
        --left;
      });
    }
    while (left != 0) rt::gc();
    all.wait();
    EXPECT_EQ(whole, 4);
  });
  unsetenv("RT_DEBUG");
}

TEST_P(collector, b092_forced_collections_are_counted_apart_and_dated) {
  run([] {
    rt::mem_stats before = rt::read_mem_stats();
    rt::gc();
    rt::gc();
    rt::mem_stats after = rt::read_mem_stats();
    EXPECT_EQ(after.num_forced_gc, before.num_forced_gc + 2);
    EXPECT_GE(after.num_gc, before.num_gc + 2);
    EXPECT_EQ(after.last_gc, after.pause_end[(after.num_gc + 255) % 256]);
    EXPECT_GE(after.last_gc, before.last_gc);
    EXPECT_GE(after.pause_total_ns, before.pause_total_ns + after.pause_ns[(after.num_gc + 255) % 256]);
  });
}

// What is live grows from a tenth to four fifths of the limit.
void grow_to_the_limit(std::uint64_t limit) {
  constexpr std::size_t piece = 16'000;
  std::size_t most = static_cast<std::size_t>(limit) * 8 / 10 / piece;
  auto* live = rt::make_array<rt::ref<char>>(most);
  std::uint64_t peak = 0;
  for (std::size_t part = 1; part <= 8; ++part) {
    std::size_t count = most * part / 8;
    for (std::size_t i = 0; i < count; ++i) live[i] = rt::make_array<char>(piece);
    for (int i = 0; i < 500; ++i) static_cast<void>(rt::make_array<char>(piece));
    peak = std::max(peak, held_memory());
  }
  EXPECT_LE(peak, limit + 16 * mib);
  // Nothing of it is to be there in the next run, even if a leftover on the stack refers to the array.
  for (std::size_t i = 0; i < most; ++i) live[i] = nullptr;
}

TEST_P(collector, b093_the_memory_limit_is_held) {
  run([] {
    constexpr std::uint64_t limit = 64 * mib;
    EXPECT_EQ(rt::set_memory_limit(limit), rt::no_memory_limit);
    EXPECT_EQ(rt::set_memory_limit(limit), limit);
    grow_to_the_limit(limit);
    rt::set_gc_percent(rt::gc_off);
    grow_to_the_limit(limit);
    rt::set_gc_percent(100);
    rt::set_memory_limit(rt::no_memory_limit);
  });
}

struct counted {
  explicit counted(std::atomic<int>& ends) : destroyed(&ends) {}
  ~counted() { destroyed->fetch_add(1); }
  counted(const counted&) = delete;
  counted& operator=(const counted&) = delete;
  std::atomic<int>* destroyed;
  rt::ref<counted> other;
};

TEST_P(collector, b102_destructors_run_once_after_the_last_use) {
  run([] {
    static std::deque<std::atomic<int>> counters;  // what is kept to the end may be found dead in a later run
    std::atomic<int>& destroyed = counters.emplace_back(0);
    constexpr int count = 200;
    auto make = [&]() __attribute__((noinline)) {
      for (int i = 0; i < count; ++i) {
        auto* one = rt::make<counted>(destroyed);
        auto* two = rt::make<counted>(destroyed);
        one->other = two;
        two->other = one;
      }
    };
    auto* kept = rt::make<counted>(destroyed);
    make();
    EXPECT_TRUE(eventually([&] {
      rt::gc();
      return destroyed.load() >= 2 * count - 20;
    })) << destroyed;
    for (int i = 0; i < 5; ++i) rt::gc();
    EXPECT_LE(destroyed, 2 * count);
    rt::keep_alive(kept);
  });
}

TEST_P(collector, b105_objects_stay_where_they_are) {
  run([] {
    leaf* one = rt::make<leaf>(1);
    rt::root<leaf> pinned(one);
    rt::root<leaf> twice(pinned);
    auto address = reinterpret_cast<std::uintptr_t>(one);
    std::uint64_t before = rt::detail::roots().count();
    one = nullptr;
    for (int i = 0; i < 3; ++i) rt::gc();
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(pinned.get()), address);
    EXPECT_TRUE(pinned->is_intact());
    pinned = nullptr;
    rt::gc();
    EXPECT_TRUE(twice->is_intact());
    EXPECT_EQ(rt::detail::roots().count(), before) << "a root that refers to nothing keeps its slot until it ends";
  });
}

}  // namespace
