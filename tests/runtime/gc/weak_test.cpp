// rt::weak: null when the object is gone, never before, never again anything else.
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <thread>
#include <unordered_set>
#include <vector>

#include "rt/rt.h"
#include "runtime/heap/heap.h"
#include "runtime/sched/scheduler.h"
#include "tests/runtime/gc/objects.h"

namespace {

using rt_test::are_destroyed;
using rt_test::eventually;
using rt_test::node;
using rt_test::out_of_sight;
using rt_test::tally;

RT_ON_PROCS(weak);

bool is_gone(const rt::weak<node>& one) {
  bool gone = false;
  return eventually([&] {
    rt::gc();
    out_of_sight([&] { gone = one.lock() == nullptr; });
    return gone;
  });
}

TEST_P(weak, is_null_when_nothing_else_refers_to_the_object) {
  run([] {
    tally count;
    rt::weak<node> one;
    EXPECT_EQ(one.lock(), nullptr);
    rt::root<node> keeps;
    out_of_sight([&] {
      keeps = rt::make<node>(count, 7);
      one = keeps.get();
    });
    for (int i = 0; i < 3; ++i) {
      rt::gc();
      out_of_sight([&] {
        ASSERT_NE(one.lock(), nullptr);
        EXPECT_TRUE(one.lock()->is_alive());
        EXPECT_EQ(one.lock()->value, 7);
      });
    }
    keeps = nullptr;
    EXPECT_TRUE(is_gone(one));
    EXPECT_TRUE(are_destroyed(count, 1));
    EXPECT_EQ(one.lock(), nullptr);
  });
}

TEST_P(weak, does_not_keep_the_object) {
  run([] {
    tally count;
    std::vector<rt::weak<node>> all;
    out_of_sight([&] {
      for (int i = 0; i < 200; ++i) all.emplace_back(rt::make<node>(count, i));
    });
    EXPECT_TRUE(are_destroyed(count, 195)) << count.destroyed;
    int left = 0;
    for (const auto& one : all) left += one.lock() != nullptr ? 1 : 0;
    EXPECT_LE(left, 5);
  });
}

TEST_P(weak, what_it_gives_is_kept) {
  run([] {
    tally count;
    rt::weak<node> one;
    rt::root<node> keeps;
    out_of_sight([&] {
      keeps = rt::make<node>(count, 9);
      one = keeps.get();
    });
    node* strong = one.lock();
    keeps = nullptr;
    for (int i = 0; i < 3; ++i) rt::gc();
    EXPECT_EQ(count.destroyed, 0);
    EXPECT_EQ(strong->value, 9);
    EXPECT_EQ(one.lock(), strong);
  });
}

struct watched;
// Outlives the test: a leftover on some stack may keep one of them for long.
struct watchers {
  std::vector<rt::weak<watched>> others;
  std::atomic<int> seen{0};
  std::atomic<int> destroyed{0};
};
struct watched {
  explicit watched(std::shared_ptr<watchers> of_all) : all(std::move(of_all)) {}
  ~watched() {
    for (auto& one : all->others) {
      if (one.lock() == this) ++all->seen;
    }
    if (rt::weak<watched>(this).lock() != nullptr) ++all->seen;
    ++all->destroyed;
  }
  std::shared_ptr<watchers> all;
};

TEST_P(weak, one_is_gone_before_its_destructor) {
  run([] {
    auto all = std::make_shared<watchers>();
    all->others.reserve(50);
    out_of_sight([&] {
      for (int i = 0; i < 50; ++i) all->others.emplace_back(rt::make<watched>(all));
    });
    EXPECT_TRUE(eventually([&] {
      rt::gc();
      return all->destroyed.load() >= 45;
    }));
    EXPECT_EQ(all->seen, 0);
  });
}

TEST_P(weak, a_new_object_in_the_same_place_is_another_one) {
  run([] {
    struct small {
      std::uint64_t value;
      rt::ref<small> next;
    };
    std::vector<rt::weak<small>> old;
    out_of_sight([&] {
      for (int i = 0; i < 500; ++i) old.emplace_back(rt::make<small>());
    });
    for (int i = 0; i < 2; ++i) rt::gc();
    rt::root<small> kept;
    std::vector<rt::weak<small>> fresh;
    out_of_sight([&] {
      for (int i = 0; i < 1000; ++i) {
        auto* one = rt::make<small>();
        one->next = kept.get();
        kept = one;
        fresh.emplace_back(one);
      }
    });
    std::size_t equal = 0;
    int alive = 0;
    for (const auto& one : fresh) {
      EXPECT_NE(one.lock(), nullptr);
      for (const auto& other : old) equal += one == other ? 1 : 0;
    }
    out_of_sight([&] {
      for (const auto& one : old) alive += one.lock() != nullptr ? 1 : 0;
    });
    EXPECT_EQ(equal, 0U);
    EXPECT_LE(alive, 5);
  });
}

struct plain_pair {
  std::uint64_t number = 5;
  rt::ref<plain_pair> other;
};

// A whole marking that finds everything but `lost`; what has no mark has not been swept when it returns.
void mark_all_but(const void* lost) {
  rt::detail::object_place place{};
  ASSERT_TRUE(rt::detail::find_object(reinterpret_cast<std::uintptr_t>(lost), place));
  rt::detail::the_scheduler()->stop_the_world();
  rt::detail::begin_mark();
  rt::detail::for_each_span([](rt::detail::span& one) {
    for (std::size_t i = 0; i < one.slot_count(); ++i) one.try_mark(i);
  });
  place.in->marks[place.index / 64] &= ~(std::uint64_t{1} << place.index % 64);
  rt::detail::end_mark();
  rt::detail::the_scheduler()->start_the_world();
}

TEST_P(weak, the_mark_decides_until_the_sweep) {
  run([] {
    rt::gc();
    auto* lost = rt::make<plain_pair>();
    auto* found = rt::make<plain_pair>();
    rt::weak<plain_pair> to_lost(lost);
    rt::weak<plain_pair> to_found(found);
    EXPECT_EQ(to_lost.lock(), lost);
    mark_all_but(lost);
    EXPECT_EQ(to_lost.lock(), nullptr);
    EXPECT_EQ(to_found.lock(), found);
    while (rt::detail::sweep_some(64)) {
    }
    EXPECT_EQ(to_lost.lock(), nullptr);
    EXPECT_EQ(to_found.lock(), found);
    // The second marking comes to a node that the sweep has looked at.
    mark_all_but(found);
    EXPECT_EQ(to_found.lock(), nullptr);
    while (rt::detail::sweep_some(64)) {
    }
    EXPECT_EQ(to_found.lock(), nullptr);
  });
}

TEST_P(weak, what_it_gives_while_marking_is_marked) {
  run([] {
    rt::gc();
    auto* object = rt::make<plain_pair>();
    rt::weak<plain_pair> one(object);
    rt::detail::object_place place{};
    ASSERT_TRUE(rt::detail::find_object(reinterpret_cast<std::uintptr_t>(object), place));
    rt::detail::the_scheduler()->stop_the_world();
    rt::detail::begin_mark();
    rt::detail::the_scheduler()->start_the_world();
    EXPECT_FALSE(place.in->is_marked(place.index));
    EXPECT_EQ(one.lock(), object);
    EXPECT_TRUE(place.in->is_marked(place.index));
    rt::detail::the_scheduler()->stop_the_world();
    rt::detail::for_each_span([](rt::detail::span& every) {
      for (std::size_t i = 0; i < every.slot_count(); ++i) every.try_mark(i);
    });
    rt::detail::end_mark();
    rt::detail::the_scheduler()->start_the_world();
    while (rt::detail::sweep_some(64)) {
    }
    EXPECT_EQ(one.lock(), object);
  });
}

TEST_P(weak, elsewhere_it_is_refused) {
  run([] {
    int local = 0;
    try {
      rt::weak<int> one(&local);
      FAIL() << "a local variable has a weak reference";
    } catch (const rt::usage_error& error) {
      EXPECT_NE(std::string(error.what()).find("rt::make"), std::string::npos) << error.what();
    }
    rt::root<int> number(rt::make<int>(4));
    rt::weak<int> one(number.get());
    std::thread foreign([&] { EXPECT_THROW(static_cast<void>(one.lock()), rt::usage_error); });
    rt::blocking([&] { foreign.join(); });
    rt::blocking([&] { EXPECT_EQ(*one.lock(), 4); });
  });
}

// The race "strong from weak while marking ends": readers make strong references all the time, hold them across parks
// and look at what they refer to, while owners let go of the objects.
TEST_P(weak, nothing_is_revived_while_marking_ends) {
  run([] {
    tally count;
    constexpr int places = 16;
    struct shared {
      rt::mutex lock;
      rt::root<node> strong[places];
      rt::weak<node> weak[places];
    } all;
    std::atomic<bool> end{false};
    std::atomic<int> damaged{0};
    std::atomic<int> found{0};
    rt::wait_group readers;
    for (int i = 0; i < 4; ++i) {
      readers.add();
      rt::go([&, i] {
        for (int step = i; !end.load(); ++step) {
          rt::weak<node> one;
          {
            std::unique_lock guard(all.lock);
            one = all.weak[step % places];
          }
          if (node* strong = one.lock(); strong != nullptr) {
            found.fetch_add(1);
            if (!strong->is_alive()) damaged.fetch_add(1);
            if (node* next = strong->next; next != nullptr && !next->is_alive()) damaged.fetch_add(1);
            rt::yield();
            if (!strong->is_alive()) damaged.fetch_add(1);
          }
          rt::yield();
        }
        readers.done();
      });
    }
    for (int round = 0; round < rt_test::scaled(300); ++round) {
      out_of_sight([&] {
        for (int i = 0; i < 4; ++i) {
          node* fresh = rt::make<node>(count, round);
          fresh->next = rt::make<node>(count, round);
          std::unique_lock guard(all.lock);
          int at = (round * 4 + i) % places;
          all.strong[at] = nullptr;
          all.strong[(at + 8) % places] = fresh;
          all.weak[(at + 8) % places] = fresh;
        }
      });
      if (round % 10 == 0) rt::gc();
      rt::yield();
    }
    end = true;
    readers.wait();
    EXPECT_EQ(damaged, 0);
    EXPECT_GT(found, 0);
  });
}

}  // namespace
