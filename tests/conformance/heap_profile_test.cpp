// Behaviour 107: the heap profile.
#include <gtest/gtest.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "rt/rt.h"
#include "tests/conformance/conformance.h"

namespace {
struct tiny_one {
  rt::ref<tiny_one> next;
  std::uint64_t word = 0;
};
struct middling_one {
  rt::ref<middling_one> next;
  std::uint64_t words[13] = {};
};
struct big_one {
  rt::ref<big_one> next;
  char bytes[1300] = {};
};
struct huge_one {
  rt::ref<huge_one> next;
  char bytes[50000] = {};
};
}  // namespace

// In the profile under names that the test knows. The empty statements keep the calls from being jumps.
extern "C" {
__attribute__((noinline)) void conformance_makes_tiny(rt::ref<tiny_one>& first, int count);
__attribute__((noinline)) void conformance_makes_middling(rt::ref<middling_one>& first, int count);
__attribute__((noinline)) void conformance_makes_big(rt::ref<big_one>& first, int count);
__attribute__((noinline)) void conformance_makes_huge(rt::ref<huge_one>& first, int count);
__attribute__((noinline)) void conformance_makes_garbage(int count);
__attribute__((noinline)) void conformance_makes_each(rt::ref<tiny_one>& first, int count);
__attribute__((noinline)) void conformance_makes_unnoted(rt::ref<tiny_one>& first, int count);
}

namespace {

template <class T>
inline __attribute__((always_inline)) void make_chain(rt::ref<T>& first, int count) {
  for (int i = 0; i < count; ++i) {
    T* fresh = rt::make<T>();
    fresh->next = first;
    first = fresh;
  }
  asm volatile("" ::: "memory");
}

}  // namespace

void conformance_makes_tiny(rt::ref<tiny_one>& first, int count) { make_chain(first, count); }
void conformance_makes_middling(rt::ref<middling_one>& first, int count) { make_chain(first, count); }
void conformance_makes_big(rt::ref<big_one>& first, int count) { make_chain(first, count); }
void conformance_makes_huge(rt::ref<huge_one>& first, int count) { make_chain(first, count); }
void conformance_makes_garbage(int count) {
  for (int i = 0; i < count; ++i) static_cast<void>(rt::make<big_one>());
  asm volatile("" ::: "memory");
}
void conformance_makes_each(rt::ref<tiny_one>& first, int count) { make_chain(first, count); }
void conformance_makes_unnoted(rt::ref<tiny_one>& first, int count) { make_chain(first, count); }

namespace {

using namespace conformance;
RT_ON_PROCS(conformance_heap_profile);

// What the profile has of stacks with this function.
rt::heap_record find(const std::vector<rt::heap_record>& profile, const char* function) {
  rt::heap_record found;
  for (const rt::heap_record& one : profile) {
    rt::green_thread_info stack;
    stack.frames = one.frames;
    if (rt::to_text(stack).find(std::string(function) + "(") == std::string::npos) continue;
    found.in_use_objects += one.in_use_objects;
    found.in_use_bytes += one.in_use_bytes;
    found.allocated_objects += one.allocated_objects;
    found.allocated_bytes += one.allocated_bytes;
  }
  return found;
}
rt::heap_record find(const char* function) { return find(rt::heap_profile(), function); }

// Global, so that nothing of them is on a stack; each test begins and ends with none of them.
rt::ref<tiny_one> tiny;
rt::ref<middling_one> middling;
rt::ref<big_one> big;
rt::ref<huge_one> huge;

// Each object of the chain on its own: a word that was left somewhere keeps one of them, and not all behind it.
template <class T>
void cut(rt::ref<T>& first) {
  while (first != nullptr) {
    T* one = first;
    first = one->next;
    one->next = nullptr;
  }
}

struct rate_for_test {
  explicit rate_for_test(std::size_t bytes) : before(rt::set_heap_profile_rate(bytes)) {
    // What earlier tests have left: what lies beside new objects goes one collection later.
    for (int i = 0; i < 3; ++i) rt::gc();
  }
  ~rate_for_test() {
    rt::set_heap_profile_rate(before);
    rt::set_gc_percent(100);
  }
  std::size_t before;
};

// Some 2000 samples of each size: the standard deviation is 2 to 3 percent.
constexpr double tolerance = 0.2;
constexpr std::size_t rate = 1000;
constexpr std::size_t bytes_of_each = 2'000'000;
template <class T>
constexpr int count_of = static_cast<int>(bytes_of_each / sizeof(T));

void expect_near(const rt::heap_record& now, const rt::heap_record& before, double objects, double slot) {
  EXPECT_NEAR(now.in_use_objects - before.in_use_objects, objects, objects * tolerance);
  EXPECT_NEAR(now.in_use_bytes - before.in_use_bytes, objects * slot, objects * slot * tolerance);
  EXPECT_NEAR(now.allocated_objects - before.allocated_objects, objects, objects * tolerance);
}

TEST_P(conformance_heap_profile, b107_samples_are_unbiased) {
  run([] {
    rate_for_test on(rate);
    rt::gc();
    std::vector<rt::heap_record> before = rt::heap_profile();
    // In turns, and with collections in between, so that runs are cut short.
    constexpr int turns = 20;
    for (int i = 0; i < turns; ++i) {
      rt::go([] {
        conformance_makes_tiny(tiny, count_of<tiny_one> / turns);
        conformance_makes_middling(middling, count_of<middling_one> / turns);
      });
      conformance_makes_big(big, count_of<big_one> / turns);
      conformance_makes_huge(huge, 2);
      while (rt::num_green_threads() > 1) rt::yield();
      if (i % 5 == 0) rt::gc();
    }
    rt::gc();
    std::vector<rt::heap_record> now = rt::heap_profile();
    auto of = [&](const char* function, double objects, std::size_t slot) {
      SCOPED_TRACE(function);
      expect_near(find(now, function), find(before, function), objects, static_cast<double>(slot));
    };
    of("conformance_makes_tiny", count_of<tiny_one> / turns * turns, 16);
    of("conformance_makes_middling", count_of<middling_one> / turns * turns, 112);
    of("conformance_makes_big", count_of<big_one> / turns * turns, 1408);
    of("conformance_makes_huge", 2 * turns, 57344);
    tiny = nullptr;
    middling = nullptr;
    big = nullptr;
    huge = nullptr;
  });
}

// Few slots of each run are used: each collection takes the rest back.
TEST_P(conformance_heap_profile, b107_classes_that_are_used_seldom_are_not_told_more_often) {
  run([] {
    rate_for_test on(32);
    rt::gc();
    rt::heap_record before = find("conformance_makes_tiny");
    constexpr int rounds = 150;
    for (int i = 0; i < rounds; ++i) {
      conformance_makes_tiny(tiny, 2);
      rt::gc();
    }
    rt::heap_record now = find("conformance_makes_tiny");
    // 2 * 150 * (1 - exp(-16 / 32)) = 118 samples: a standard deviation of 7 percent.
    EXPECT_NEAR(now.allocated_objects - before.allocated_objects, 2 * rounds, 2 * rounds * 0.45);
    tiny = nullptr;
  });
}

TEST_P(conformance_heap_profile, b107_freed_objects_leave_it) {
  run([] {
    rate_for_test on(rate);
    rt::gc();
    rt::gc();
    rt::heap_record before = find("conformance_makes_big");
    conformance_makes_big(big, count_of<big_one>);
    rt::gc();
    rt::heap_record in_use = find("conformance_makes_big");
    EXPECT_GT(in_use.in_use_objects - before.in_use_objects, count_of<big_one> / 2.0);
    cut(big);
    EXPECT_TRUE(eventually([&] {
      rt::gc();
      return find("conformance_makes_big").in_use_objects <= before.in_use_objects + count_of<big_one> / 20.0;
    })) << find("conformance_makes_big").in_use_objects;
    rt::heap_record after = find("conformance_makes_big");
    EXPECT_NEAR(after.allocated_objects, in_use.allocated_objects, 1e-3) << "what was allocated stays told";
  });
}

TEST_P(conformance_heap_profile, b107_it_is_that_of_the_last_collection) {
  if (rt_test::is_stressed()) GTEST_SKIP() << "gcstress collects at any time";
  run([] {
    rate_for_test on(rate);
    rt::gc();
    rt::set_gc_percent(rt::gc_off);
    rt::heap_record before = find("conformance_makes_garbage");
    conformance_makes_garbage(count_of<big_one>);
    rt::heap_record now = find("conformance_makes_garbage");
    EXPECT_EQ(now.allocated_objects, before.allocated_objects) << "nothing of what was allocated since";
    EXPECT_EQ(now.in_use_objects, before.in_use_objects);
    rt::gc();
    rt::gc();
    now = find("conformance_makes_garbage");
    EXPECT_NEAR(now.allocated_objects - before.allocated_objects, count_of<big_one>, count_of<big_one> * tolerance);
    EXPECT_LE(now.in_use_objects - before.in_use_objects, count_of<big_one> / 20.0);
  });
}

TEST_P(conformance_heap_profile, b107_a_rate_of_one_notes_each_and_zero_none) {
  run([] {
    rate_for_test on(1);
    rt::gc();
    rt::heap_record before = find("conformance_makes_each");
    conformance_makes_each(tiny, 777);
    conformance_makes_each(tiny, 223);
    EXPECT_EQ(rt::set_heap_profile_rate(0), 1U);
    rt::heap_record unnoted = find("conformance_makes_unnoted");
    conformance_makes_unnoted(tiny, 1000);
    rt::gc();
    rt::heap_record now = find("conformance_makes_each");
    EXPECT_EQ(now.allocated_objects - before.allocated_objects, 1000);
    EXPECT_EQ(now.allocated_bytes - before.allocated_bytes, 16000);
    EXPECT_GE(now.in_use_objects, 1000);
    EXPECT_EQ(find("conformance_makes_unnoted").allocated_objects, unnoted.allocated_objects);
    EXPECT_EQ(rt::set_heap_profile_rate(1), 0U);
    tiny = nullptr;
  });
}

TEST_P(conformance_heap_profile, b107_it_is_on_as_in_go) {
  run([] {
    std::size_t usual = rt::set_heap_profile_rate(1);
    EXPECT_EQ(usual, 512U * 1024);
    rt::set_heap_profile_rate(usual);
  });
}

}  // namespace
