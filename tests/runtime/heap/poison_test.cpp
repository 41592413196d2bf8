// What AddressSanitizer is told. Only in its builds there is something to test.
#include "runtime/heap/poison.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "rt/make.h"
#include "tests/runtime/death_tests.h"
#include "tests/runtime/heap/pretend_collector.h"
#include "tests/runtime/in_runtime.h"

#if defined(RT_ADDRESS_SANITIZER)

namespace rt::detail {
namespace {

RT_ON_PROCS(poisoning);

bool is_poisoned(const void* address) { return __asan_address_is_poisoned(address) != 0; }

TEST_P(poisoning, objects_are_open_and_the_rest_of_their_slots_is_closed) {
  run([] {
    for (std::size_t size : {1UL, 8UL, 20UL, 100UL, 1000UL, 40'000UL}) {
      auto* object = static_cast<char*>(allocate(size, 8, span_kind::scanned));
      std::memset(object, 1, size);
      EXPECT_FALSE(is_poisoned(object + size - 1));
      object_place place{};
      ASSERT_TRUE(find_object(reinterpret_cast<std::uintptr_t>(object), place));
      if (size % 8 == 0 && place.size > size) {
        EXPECT_TRUE(is_poisoned(object + size)) << size;
      }
    }
  });
}

TEST_P(poisoning, freed_slots_are_closed_until_they_are_used_again) {
  run([] {
    std::vector<void*> objects;
    for (int i = 0; i < 200; ++i) objects.push_back(allocate(128, 8, span_kind::scanned));
    void* large = allocate(100'000, 8, span_kind::plain);
    std::vector<void*> live;
    for (std::size_t i = 0; i < objects.size(); i += 2) live.push_back(objects[i]);
    rt_test::collect(live);
    for (std::size_t i = 0; i < objects.size(); ++i) {
      EXPECT_EQ(is_poisoned(objects[i]), i % 2 == 1);
    }
    EXPECT_TRUE(is_poisoned(large));
    for (int i = 0; i < 200; ++i) EXPECT_FALSE(is_poisoned(allocate(128, 8, span_kind::scanned)));
  });
}

TEST(poisoning_death, use_of_a_freed_object_is_reported) {
  rt_test::prepare_death_test();
  EXPECT_DEATH(
      {
        volatile char* object = static_cast<char*>(allocate(64, 8, span_kind::scanned));
        rt_test::collect({});
        *object = 1;
      },
      "use-after-poison");
}

}  // namespace
}  // namespace rt::detail

#endif
