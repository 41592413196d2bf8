// Behaviours 103 and 104: functions that are called when an object is gone, and references that do not keep it.
#include <gtest/gtest.h>

#include <array>
#include <deque>
#include <memory>
#include <vector>

#include "tests/conformance/conformance.h"

namespace {

using conformance::eventually;
using conformance::scaled;

RT_ON_PROCS(ends);

struct thing {
  std::uint64_t words[3] = {};
  rt::ref<thing> other;
};

// Nothing of what `make` has done is left on the caller's stack.
template <class Make>
[[gnu::noinline]] void out_of_sight(const Make& make) {
  auto inner = [&]() __attribute__((noinline)) { make(); };
  inner();
  volatile std::uintptr_t words[2048];
  for (volatile std::uintptr_t& word : words) word = 0;
}

template <class Condition>
bool after_collections(const Condition& condition) {
  return eventually([&] {
    rt::gc();
    bool holds = false;
    out_of_sight([&] { holds = condition(); });
    return holds;
  });
}

TEST_P(ends, b103_cleanups_several_stopped_refused) {
  run([] {
    struct counters {
      std::atomic<int> whole{0};
      std::atomic<int> inner{0};
      std::atomic<int> stopped{0};
    };
    static std::deque<counters> all;  // the last ones may be called when the test has seen enough, and ends
    counters* calls = &all.emplace_back();
    auto* kept = rt::make<thing>();
    std::vector<rt::cleanup> late;
    out_of_sight([&] {
      for (int i = 0; i < 50; ++i) {
        auto* one = rt::make<thing>();
        std::vector<rt::cleanup> these;
        // Several for an object, also by pointers to its parts; every other one is taken back, in between.
        for (int k = 0; k < 4; ++k) {
          if (k % 2 == 0) {
            rt::add_cleanup(
                one, [calls](int number) { calls->whole += number; }, 1);
            rt::add_cleanup(
                &one->words[k / 2], [calls](int number) { calls->inner += number; }, 1);
          } else {
            these.push_back(rt::add_cleanup(one, [calls] { ++calls->stopped; }));
            EXPECT_TRUE(these.back().stop());
          }
        }
        for (const rt::cleanup& twice : these) EXPECT_FALSE(twice.stop());
        if (i == 0) late.push_back(rt::add_cleanup(one, [] {}));
      }
    });
    EXPECT_TRUE(after_collections([&] { return calls->whole >= 90 && calls->inner >= 90; }))
        << calls->whole << " " << calls->inner;
    EXPECT_LE(calls->whole, 100);
    EXPECT_LE(calls->inner, 100);
    EXPECT_EQ(calls->stopped, 0);
    // After the call there is nothing to stop (unless some leftover has kept that one object).
    if (calls->whole == 100) {
      EXPECT_TRUE(eventually([&] { return !late[0].stop(); }));
    }

    // The argument is the object, a part of it, or leads to it; the function has it.
    EXPECT_THROW(rt::add_cleanup(
                     kept, [](thing*) {}, kept),
                 rt::usage_error);
    EXPECT_THROW(rt::add_cleanup(
                     kept, [](std::uint64_t*) {}, &kept->words[1]),
                 rt::usage_error);
    EXPECT_THROW(rt::add_cleanup(
                     &kept->words[2], [](thing*) {}, kept),
                 rt::usage_error);
    EXPECT_THROW(rt::add_cleanup(kept, [kept] { static_cast<void>(kept); }), rt::usage_error);
    rt::keep_alive(kept);
  });
}

TEST_P(ends, b103_cleanups_come_after_the_destructor_is_due) {
  static std::atomic<int> destroyed{0};
  static std::atomic<int> cleaned{0};
  struct with_destructor {
    ~with_destructor() { ++destroyed; }
    rt::ref<with_destructor> other;
  };
  destroyed = cleaned = 0;
  run([] {
    out_of_sight([] {
      // A circle keeps neither the functions nor the destructors from being called.
      auto* one = rt::make<with_destructor>();
      auto* two = rt::make<with_destructor>();
      one->other = two;
      two->other = one;
      for (with_destructor* of : {one, two}) rt::add_cleanup(of, [] { ++cleaned; });
    });
    EXPECT_TRUE(after_collections([] { return cleaned == 2 && destroyed == 2; })) << cleaned << " " << destroyed;
  });
}

TEST_P(ends, b104_weak_references_are_equal_when_made_from_the_same_pointer) {
  run([] {
    auto* one = rt::make<thing>();
    auto* two = rt::make<thing>();
    rt::weak<thing> first(one);
    rt::weak<thing> same(one);
    EXPECT_EQ(first, same);
    EXPECT_NE(first, rt::weak<thing>(two));
    EXPECT_EQ(rt::weak<thing>(), rt::weak<thing>(nullptr));
    // Parts are told apart, from each other and by type.
    EXPECT_EQ(rt::weak<std::uint64_t>(&one->words[1]), rt::weak<std::uint64_t>(&one->words[1]));
    EXPECT_NE(rt::weak<std::uint64_t>(&one->words[1]), rt::weak<std::uint64_t>(&one->words[2]));
    EXPECT_EQ(rt::weak<std::uint64_t>(&one->words[1]).lock(), &one->words[1]);
    rt::keep_alive(one);
    rt::keep_alive(two);
    one = two = nullptr;

    // After death as well.
    struct two_of {
      rt::weak<thing> a, b;
    };
    std::vector<two_of> pairs;
    out_of_sight([&] {
      for (int i = 0; i < 50; ++i) {
        auto* fresh = rt::make<thing>();
        pairs.push_back({rt::weak<thing>(fresh), rt::weak<thing>(fresh)});
      }
    });
    EXPECT_TRUE(after_collections([&] {
      return std::count_if(pairs.begin(), pairs.end(), [](const two_of& p) { return p.a.lock() == nullptr; }) >= 45;
    }));
    for (std::size_t i = 0; i < pairs.size(); ++i) {
      EXPECT_EQ(pairs[i].a, pairs[i].b);
      EXPECT_NE(pairs[i].a, rt::weak<thing>());
      if (i > 0) {
        EXPECT_NE(pairs[i].a, pairs[i - 1].a);
      }
    }
  });
}

TEST_P(ends, b104_weak_references_to_tiny_objects) {
  run([] {
    std::vector<rt::root<std::uint32_t>> kept;
    std::vector<rt::weak<std::uint32_t>> all;
    out_of_sight([&] {
      for (std::uint32_t i = 0; i < 400; ++i) {
        auto* tiny = rt::make<std::uint32_t>(i);
        all.emplace_back(tiny);
        if (i % 40 == 0) kept.emplace_back(tiny);
      }
    });
    for (int i = 0; i < 3; ++i) rt::gc();
    for (std::size_t i = 0; i < kept.size(); ++i) {
      auto* strong = all[i * 40].lock();
      ASSERT_EQ(strong, kept[i].get());
      EXPECT_EQ(*strong, i * 40);
    }
    // Those that share no slot with a kept one go.
    EXPECT_TRUE(after_collections([&] {
      std::ptrdiff_t alive =
          std::count_if(all.begin(), all.end(), [](const auto& one) { return one.lock() != nullptr; });
      return alive <= 80;
    }));
  });
}

TEST_P(ends, b104_weak_references_are_null_before_destructors_and_cleanups) {
  static std::atomic<int> too_late{0};
  static std::atomic<int> destroyed{0};
  static std::atomic<int> cleaned{0};
  struct knows_itself {
    rt::weak<knows_itself> self;
    ~knows_itself() {
      if (self.lock() != nullptr) ++too_late;
      ++destroyed;
    }
  };
  too_late = destroyed = cleaned = 0;
  run([] {
    out_of_sight([] {
      for (int i = 0; i < 100; ++i) {
        auto* one = rt::make<knows_itself>();
        one->self = one;
        rt::add_cleanup(
            one,
            [](rt::weak<knows_itself> was) {
              if (was.lock() != nullptr) ++too_late;
              ++cleaned;
            },
            one->self);
      }
    });
    EXPECT_TRUE(after_collections([] { return destroyed >= 95 && cleaned >= 95; })) << destroyed << " " << cleaned;
    EXPECT_EQ(too_late, 0);
  });
}

// Go's TestWeakToStrongMarkTermination: strong references are made from weak ones all the time while collections end.
// What one gives is whole, and is null for good once it was null.
TEST_P(ends, b104_weak_to_strong_while_marking_ends) {
  run([] {
    constexpr int count = 64;
    std::atomic<bool> end{false};
    std::atomic<int> wrong{0};
    std::vector<rt::weak<thing>> all(count);
    out_of_sight([&] {
      for (auto& one : all) {
        auto* fresh = rt::make<thing>();
        fresh->words[0] = 7;
        fresh->other = rt::make<thing>();
        fresh->other->words[0] = 8;
        one = fresh;
      }
    });
    rt::wait_group readers;
    for (int i = 0; i < 4; ++i) {
      readers.add();
      rt::go([&, i] {
        std::array<bool, count> was_null{};
        while (!end.load()) {
          for (int k = i; k < i + count; k += 3) {
            thing* strong = all[static_cast<std::size_t>(k % count)].lock();
            bool& null_before = was_null[static_cast<std::size_t>(k % count)];
            if (strong == nullptr) {
              null_before = true;
            } else if (null_before || strong->words[0] != 7 || strong->other->words[0] != 8) {
              ++wrong;
            }
          }
          rt::yield();
        }
        readers.done();
      });
    }
    for (int i = 0; i < scaled(50); ++i) rt::gc();
    end = true;
    readers.wait();
    EXPECT_EQ(wrong, 0);
  });
}

}  // namespace
