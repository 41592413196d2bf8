// One marker and several, without the rest of the collector: what is marked, that it is counted once, and that nothing
// stays in a window or a queue.
#include "runtime/gc/marker.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <functional>
#include <random>
#include <set>
#include <thread>
#include <vector>

#include "rt/gc.h"
#include "runtime/gc/mark_window.h"
#include "tests/runtime/heap/pretend_collector.h"
#include "tests/runtime/in_runtime.h"
#include "tests/runtime/seeds.h"

namespace {

using rt::detail::mark_pool;
using rt::detail::mark_window;
using rt::detail::marker;

mark_pool& pool() {
  static mark_pool one;  // its memory is kept
  return one;
}

constexpr auto never = [] { return false; };

bool is_marked(const void* object) {
  rt::detail::object_place place{};
  return rt::detail::find_object(reinterpret_cast<std::uintptr_t>(object), place) && place.in->is_marked(place.index);
}

// Runs `act` while nothing else marks or allocates, and everything survives.
template <class Act>
void while_marking(const Act& act) {
  rt_test::finish_sweep();
  rt_test::with_world_stopped([&] {
    rt::detail::begin_mark();
    act();
    rt_test::mark_all();
    rt::detail::end_mark();
  });
  rt_test::finish_sweep();
}

struct pair {
  rt::ref<pair> left, right;
};
static_assert(sizeof(pair) == 16);

std::vector<std::uintptr_t> addresses_of(const std::vector<pair*>& objects) {
  std::vector<std::uintptr_t> words;
  for (const pair* one : objects) words.push_back(reinterpret_cast<std::uintptr_t>(one));
  return words;
}

void scan_all(marker& into, const std::vector<std::uintptr_t>& words) {
  into.scan(words.data(), words.data() + words.size());
}

TEST(mark_window_test, finds_of_one_row_have_one_turn) {
  mark_window window;
  mark_window::row& place = window.place_of(80);
  ASSERT_TRUE(mark_window::is_free(place));
  window.fill(place, {80, 1, 0});
  ASSERT_EQ(&window.place_of(80), &place);
  ASSERT_FALSE(mark_window::is_free(place));
  place.found |= 4;
  EXPECT_EQ(window.count(), 1U);
  mark_window::row taken = window.take_first();
  EXPECT_EQ(taken.number, 80U);
  EXPECT_EQ(taken.found, 5U);
  EXPECT_EQ(window.count(), 0U);
  EXPECT_TRUE(mark_window::is_free(window.place_of(80)));
}

TEST(mark_window_test, turns_come_in_the_order_of_finds_however_often_the_ring_is_passed) {
  mark_window window;
  std::uint64_t next = 0;
  std::uint64_t expected = 0;
  for (int round = 0; round < 1000; ++round) {
    while (window.count() < 1 + static_cast<std::size_t>(round) % 50 && mark_window::is_free(window.place_of(next))) {
      window.fill(window.place_of(next), {next, 1, 0});
      ++next;
    }
    while (window.count() > static_cast<std::size_t>(round % 3)) EXPECT_EQ(window.take_first().number, expected++);
  }
  EXPECT_GT(next, 10 * mark_window::places);
}

class marker_test : public testing::Test {
 protected:
  void SetUp() override {
    if (rt_test::is_stressed()) GTEST_SKIP() << "gcstress collects at any time, beside the test's own marker";
  }
  // No cycle of the collector comes in between.
  static void run(const std::function<void()>& body) {
    rt_test::in_runtime(1, [&] {
      int before = rt::set_gc_percent(rt::gc_off);
      rt::gc();
      body();
      rt::set_gc_percent(before);
    });
  }
};

TEST_F(marker_test, marks_once_what_is_pointed_to_and_nothing_else) {
  run([] {
    std::vector<pair*> objects;
    for (int i = 0; i < 1000; ++i) objects.push_back(rt::make<pair>());
    while_marking([&] {
      std::vector<pair*> odd;
      for (std::size_t i = 1; i < objects.size(); i += 2) odd.push_back(objects[i]);
      std::vector<std::uintptr_t> words = addresses_of(odd);
      for (std::uintptr_t word : addresses_of(odd)) words.push_back(word + 15);  // inside of it
      words.push_back(reinterpret_cast<std::uintptr_t>(&objects));               // not of the heap
      marker one(pool());
      scan_all(one, words);
      ASSERT_TRUE(one.drain(never, never));
      one.flush();
      EXPECT_FALSE(pool().has_work());
      for (std::size_t i = 0; i < objects.size(); ++i) EXPECT_EQ(is_marked(objects[i]), i % 2 == 1) << i;
      marker::counts counts = one.take_counts();
      EXPECT_EQ(counts.marked_objects, odd.size());
      EXPECT_EQ(counts.marked_bytes, odd.size() * sizeof(pair));
      EXPECT_EQ(counts.scanned_bytes, words.size() * sizeof(std::uintptr_t) + odd.size() * sizeof(pair));
    });
  });
}

TEST_F(marker_test, does_not_mark_slots_that_hold_no_object) {
  run([] {
    pair* last = rt::make<pair>();
    while_marking([&] {
      rt::detail::object_place place{};
      ASSERT_TRUE(rt::detail::find_object(reinterpret_cast<std::uintptr_t>(last), place));
      std::vector<std::uintptr_t> words;
      std::size_t allocated = 0;
      for (std::size_t i = 0; i < place.in->slot_count(); ++i) {
        words.push_back(reinterpret_cast<std::uintptr_t>(place.in->slot(i)));
        allocated += place.in->is_allocated(i) ? 1U : 0U;
      }
      ASSERT_LT(allocated, place.in->slot_count());
      marker one(pool());
      scan_all(one, words);
      ASSERT_TRUE(one.drain(never, never));
      one.flush();
      EXPECT_EQ(one.take_counts().marked_objects, allocated);
      for (std::size_t i = 0; i < place.in->slot_count(); ++i) {
        EXPECT_EQ(place.in->is_marked(i), place.in->is_allocated(i)) << i;
      }
    });
  });
}

// Any words, between any bounds: marked is what an aligned word that lies whole between them points into.
TEST_F(marker_test, random_words_between_random_bounds) {
  std::mt19937_64 random(rt_test::seeds().source(0)());
  run([&] {
    constexpr std::size_t count = 200;
    std::vector<char*> objects;
    for (std::size_t i = 0; i < count; ++i) {
      objects.push_back(static_cast<char*>(rt::detail::allocate(1 + random() % 3000, 8, rt::detail::span_kind::plain)));
    }
    for (int round = 0; round < 20; ++round) {
      alignas(8) char words[1024];
      for (char& one : words) one = static_cast<char>(random());
      for (std::size_t i = 0; i < count; ++i) {
        std::uintptr_t word = reinterpret_cast<std::uintptr_t>(objects[random() % count]) + random() % 16;
        if (random() % 2 == 0) word = rt::detail::the_layout.base + random() % (1 << 26);
        std::memcpy(words + random() % (sizeof words - sizeof word), &word, sizeof word);
      }
      const std::size_t low = random() % 64;
      const std::size_t high = random() % 8 == 0 ? low + random() % 16 : sizeof words - random() % 64;
      std::set<void*> pointed_to;
      while_marking([&] {
        for (std::size_t at = (low + 7) / 8 * 8; at + 8 <= high; at += 8) {
          std::uintptr_t word = 0;
          std::memcpy(&word, words + at, sizeof word);
          rt::detail::object_place place{};
          if (rt::detail::find_object(word, place)) pointed_to.insert(place.begin);
        }
        marker one(pool());
        one.scan(words + low, words + high);
        ASSERT_TRUE(one.drain(never, never));
        one.flush();
        EXPECT_EQ(one.take_counts().marked_objects, pointed_to.size());
        for (char* object : objects) EXPECT_EQ(is_marked(object), pointed_to.count(object) != 0);
      });
    }
  });
}

TEST_F(marker_test, a_row_says_of_its_slots_what_each_says_of_itself) {
  run([] {
    // The run that these come from is open: it has slots that nobody has yet.
    std::vector<pair*> objects;
    for (int i = 0; i < 700; ++i) objects.push_back(rt::make<pair>());
    for (const pair* one : objects) {
      rt::detail::object_place place{};
      ASSERT_TRUE(rt::detail::find_object(reinterpret_cast<std::uintptr_t>(one), place));
      for (std::size_t row = 0; row < place.in->slot_count() / 64; ++row) {
        std::uint64_t each = 0;
        for (std::size_t i = 0; i < 64; ++i) each |= std::uint64_t{place.in->is_allocated(row * 64 + i)} << i;
        ASSERT_EQ(place.in->allocated_of_row(row, ~std::uint64_t{0}), each);
        ASSERT_EQ(place.in->allocated_of_row(row, 0x5a5a), each & 0x5a5a);
      }
    }
  });
}

TEST_F(marker_test, what_is_shaded_is_marked_at_once_and_looked_into_later) {
  run([] {
    pair* first = rt::make<pair>();
    first->left = rt::make<pair>();
    while_marking([&] {
      marker one(pool());
      one.shade(reinterpret_cast<std::uintptr_t>(first) + 8);
      EXPECT_TRUE(is_marked(first));
      EXPECT_FALSE(is_marked(first->left.get()));
      one.flush();
      ASSERT_TRUE(pool().has_work());
      marker other(pool());
      ASSERT_TRUE(other.drain(never, never));
      other.flush();
      EXPECT_TRUE(is_marked(first->left.get()));
      EXPECT_EQ(one.take_counts().marked_objects, 1U);
      EXPECT_EQ(other.take_counts().marked_objects, 1U);
    });
  });
}

// Objects that lie side by side and refer to each other: up, down, and both, in one row and across rows.
TEST_F(marker_test, neighbours_that_refer_to_each_other_are_all_marked_once) {
  run([] {
    for (int how = 1; how <= 3; ++how) {
      constexpr std::size_t count = 1000;
      rt::ref<pair>* all = rt::make_array<rt::ref<pair>>(count);
      for (std::size_t i = 0; i < count; ++i) all[i] = rt::make<pair>();
      for (std::size_t i = 0; i < count; ++i) {
        if ((how & 1) != 0 && i + 1 < count) all[i]->left = all[i + 1];
        if ((how & 2) != 0 && i > 0) all[i]->right = all[i - 1];
      }
      while_marking([&] {
        marker one(pool());
        one.shade(reinterpret_cast<std::uintptr_t>(all[how == 2 ? count - 1 : how == 1 ? 0 : count / 2].get()));
        ASSERT_TRUE(one.drain(never, never));
        one.flush();
        ASSERT_FALSE(pool().has_work());
        EXPECT_EQ(one.take_counts().marked_objects, count) << how;
        for (std::size_t i = 0; i < count; ++i) ASSERT_TRUE(is_marked(all[i].get())) << how << " " << i;
      });
      rt::keep_alive(all);
    }
  });
}

TEST_F(marker_test, gives_up_in_the_middle_and_leaves_the_rest_to_others) {
  run([] {
    // Objects of 256 bytes, of which a row is more than one turn, and more rows than a window has places.
    struct wide {
      rt::ref<wide> refers[32];
    };
    constexpr std::size_t count = 64 * mark_window::places;
    rt::ref<wide>* all = rt::make_array<rt::ref<wide>>(count);
    for (std::size_t i = 0; i < count; ++i) {
      all[i] = rt::make<wide>();
      all[i]->refers[i % 31] = all[i / 2];
      all[i]->refers[31] = rt::make<wide>();  // nothing else refers to it
    }
    while_marking([&] {
      std::uint64_t marked = 0;
      auto word = reinterpret_cast<std::uintptr_t>(all);
      {
        marker first(pool());
        first.scan(&word, &word + 1);
        first.flush();
        marked += first.take_counts().marked_objects;
      }
      bool done = false;
      int turns = 0;
      while (!done) {
        marker one(pool());
        done = one.drain([&] { return true; }, [] { return true; });
        one.flush();
        marked += one.take_counts().marked_objects;
        ++turns;
      }
      EXPECT_FALSE(pool().has_work());
      EXPECT_GT(turns, 100);
      EXPECT_EQ(marked, 2 * count + 1);
      for (std::size_t i = 0; i < count; ++i) {
        ASSERT_TRUE(is_marked(all[i].get())) << i;
        ASSERT_TRUE(is_marked(all[i]->refers[31].get())) << i;
      }
    });
    rt::keep_alive(all);
  });
}

// Each marker is a kernel thread, as in the team; the graph is random, so that rows meet at one place of a window, and
// both come to the same objects.
TEST_F(marker_test, several_mark_each_object_of_a_random_graph_once) {
  run([] {
    std::mt19937 random = rt_test::seeds().source(0);
    constexpr std::size_t count = 60'000;
    rt::ref<pair>* all = rt::make_array<rt::ref<pair>>(count);
    for (std::size_t i = 0; i < count; ++i) all[i] = rt::make<pair>();
    for (std::size_t i = 0; i < count; ++i) {
      all[i]->left = all[(i + 1) % count];  // all are reached from each
      all[i]->right = all[random() % count];
    }
    while_marking([&] {
      marker first(pool());
      first.shade(reinterpret_cast<std::uintptr_t>(all[0].get()));
      first.flush();
      constexpr std::size_t threads = 3;
      std::vector<marker::counts> counts(threads);
      std::atomic<std::size_t> idle{0};
      std::vector<std::thread> team;
      for (std::size_t i = 0; i < threads; ++i) {
        team.emplace_back([&, i] {
          marker mine(pool());
          do {
            mine.drain(never, [&] { return idle.load() != 0; });
            ++idle;
            while (!pool().has_work() && idle.load() != threads) std::this_thread::yield();
            if (idle.load() == threads) break;
            --idle;
          } while (true);
          mine.flush();
          counts[i] = mine.take_counts();
        });
      }
      for (std::thread& one : team) one.join();
      ASSERT_FALSE(pool().has_work());
      std::uint64_t marked = 0;
      for (const marker::counts& one : counts) marked += one.marked_objects;
      EXPECT_EQ(marked + 1, count);
      for (std::size_t i = 0; i < count; ++i) ASSERT_TRUE(is_marked(all[i].get())) << i;
    });
    rt::keep_alive(all);
  });
}

}  // namespace
