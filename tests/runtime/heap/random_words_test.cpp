// Whatever a word is: that it is looked up is harmless, and finds the object that it points into or none.
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "rt/make.h"
#include "runtime/heap/heap.h"
#include "tests/runtime/heap/pretend_collector.h"
#include "tests/runtime/in_runtime.h"
#include "tests/runtime/seeds.h"

namespace rt::detail {
namespace {

TEST(random_words, find_the_object_that_they_point_into_or_none) {
  std::mt19937_64 random(rt_test::seeds().source(0)());
  rt_test::in_runtime(1, [&] {
    rt_test::collect({});
    std::map<std::uintptr_t, std::size_t> objects;  // begin and length of the slot
    for (int i = 0; i < 1000; ++i) {
      std::size_t size = random() % 50 == 0 ? 1 + random() % 200'000 : 1 + random() % (random() % 2 == 0 ? 64 : 9000);
      auto begin = reinterpret_cast<std::uintptr_t>(
          allocate(size, 8, random() % 2 == 0 ? span_kind::plain : span_kind::scanned));
      object_place place{};
      ASSERT_TRUE(find_object(begin, place));
      ASSERT_GE(place.size, size);
      objects.emplace(begin, place.size);
    }
    auto expected = [&](std::uintptr_t word) -> std::uintptr_t {
      auto after = objects.upper_bound(word);
      if (after == objects.begin()) return 0;
      --after;
      return word - after->first < after->second ? after->first : 0;
    };
    const std::uintptr_t low = objects.begin()->first - heap_chunk_size;
    const std::uintptr_t length = objects.rbegin()->first - low + heap_chunk_size;
    auto any_word = [&]() -> std::uintptr_t {
      switch (random() % 5) {
        case 0:
          return random();
        case 1:
          return the_layout.base + random() % the_layout.size;
        case 2:
          return (random() % 2 == 0 ? the_layout.base : the_layout.base + the_layout.size) - 8 + random() % 16;
        case 3:
          return low + random() % length;
        default:  // about the ends of an object
          auto one = objects.lower_bound(low + random() % length);
          if (one == objects.end()) one = objects.begin();
          return one->first + (random() % 2 == 0 ? 0 : one->second) - 4 + random() % 8;
      }
    };
    for (int i = 0; i < 50'000; ++i) {
      const std::uintptr_t word = any_word();
      object_place place{};
      const bool found = find_object(word, place);
      const std::uintptr_t begin = expected(word);
      if (found && begin == 0) {
        // Of another test, waiting for its destructor.
        ASSERT_TRUE(place.in->kind.load() == span_kind::destroyed) << std::hex << word;
        continue;
      }
      ASSERT_EQ(found ? reinterpret_cast<std::uintptr_t>(place.begin) : 0, begin) << std::hex << word;
      if (found) {
        ASSERT_EQ(place.size, objects.at(begin));
      }
    }
    rt_test::collect({});
    rt_test::collect({});
    for (const auto& [begin, size] : objects) {
      object_place place{};
      ASSERT_FALSE(find_object(begin + random() % size, place));
    }
  });
}

}  // namespace
}  // namespace rt::detail
