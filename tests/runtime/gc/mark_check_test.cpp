// RT_DEBUG=gccheckmark finds what has no mark, and tells how it is reached.
#include "runtime/gc/mark_check.h"

#include <gtest/gtest.h>

#include "runtime/heap/heap.h"
#include "runtime/sched/scheduler.h"
#include "tests/runtime/death_tests.h"
#include "tests/runtime/gc/objects.h"

namespace {

struct pair {
  rt::ref<pair> other;
};

// Everything is marked but the second object, as if the collector had overlooked it.
void overlook_one() {
  pair* volatile first = rt::make<pair>();
  first->other = rt::make<pair>();
  rt::detail::the_scheduler()->stop_the_world();
  rt::detail::begin_mark();
  rt::detail::for_each_span([](rt::detail::span& one) {
    for (std::size_t i = 0; i < one.slot_count(); ++i) one.try_mark(i);
  });
  rt::detail::object_place second{};
  ASSERT_TRUE(rt::detail::find_object(reinterpret_cast<std::uintptr_t>(first->other.get()), second));
  second.in->marks[second.index / 64] &= ~(std::uint64_t{1} << second.index % 64);
  rt::detail::root_ranges roots;
  roots.push_back({reinterpret_cast<const char*>(const_cast<pair**>(&first)),
                   reinterpret_cast<const char*>(const_cast<pair**>(&first + 1))});
  rt::detail::check_marks(roots, {nullptr, nullptr});
}

TEST(mark_check_death, names_the_way_to_an_object_without_mark) {
  rt_test::prepare_death_test();
  EXPECT_DEATH(rt_test::in_runtime(1, overlook_one),
               "is reachable and was not marked.*\n.*in the object at .* which is marked\n.*in a data segment");
}

}  // namespace
