// Why an object is kept: the path to it.
#include "runtime/gc/reference_path.h"

#include <gtest/gtest.h>

#include <thread>

#include "rt/rt.h"
#include "tests/runtime/gc/objects.h"

namespace {

using rt::detail::find_reference_path;
using rt::detail::reference_path;
using outcome = rt::detail::reference_path::outcome;

constexpr std::size_t enough = 16 << 20;

struct pair {
  std::uint64_t number = 0;
  rt::ref<pair> other;
};

rt::ref<pair> in_global;

std::uintptr_t address_of(const void* object) { return reinterpret_cast<std::uintptr_t>(object); }

RT_ON_PROCS(reference_paths);

// On a thread that is none of the runtime's, as the host does it; the address goes there in a form that is none.
reference_path search_for(std::uintptr_t hidden, std::size_t most = enough) {
  reference_path path;
  rt::blocking([&] { std::thread([&] { path = find_reference_path(~hidden, most); }).join(); });
  return path;
}

// A chain of three from a global variable; the address of the last one, inverted.
[[gnu::noinline]] std::uintptr_t make_three() {
  pair* first = rt::make<pair>();
  first->other = rt::make<pair>();
  first->other->other = rt::make<pair>();
  in_global = first;
  return ~address_of(first->other->other.get());
}

TEST_P(reference_paths, lead_from_a_global_variable_over_objects) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "its frames keep words of what was on the stack, so that a shorter path begins there";
#endif
  run([] {
    std::uintptr_t last = 0;
    rt_test::out_of_sight([&] { last = make_three(); });
    reference_path path = search_for(last);
    ASSERT_EQ(path.result, outcome::found);
    EXPECT_EQ(path.object.object, ~last);
    EXPECT_EQ(path.object.offset, 0U);
    EXPECT_EQ(path.object.size, sizeof(pair));
    ASSERT_EQ(path.root, rt::detail::root_kind::data) << rt::detail::to_text(path.root);
    EXPECT_EQ(path.root_word, address_of(&in_global));
    EXPECT_NE(path.place.find("gc_test"), std::string::npos) << path.place;
    ASSERT_EQ(path.steps.size(), 2U);
    EXPECT_EQ(path.steps[0].object, address_of(in_global.get()));
    EXPECT_EQ(path.steps[0].offset, offsetof(pair, other));
    EXPECT_EQ(path.steps[1].object, address_of(in_global->other.get()));
    EXPECT_GE(path.looked_at, 3U);
    in_global = nullptr;
  });
}

TEST_P(reference_paths, point_into_objects_and_at_stacks) {
  run([] {
    pair* volatile kept = rt::make<pair>();
    reference_path path = search_for(~(address_of(kept) + 3));
    ASSERT_EQ(path.result, outcome::found);
    EXPECT_EQ(path.object.object, address_of(kept));
    EXPECT_EQ(path.object.offset, 3U);
    EXPECT_TRUE(path.steps.empty());
    EXPECT_TRUE(path.root == rt::detail::root_kind::stack || path.root == rt::detail::root_kind::registers);
    EXPECT_EQ(path.green_thread, rt::green_thread_id());
  });
}

TEST_P(reference_paths, of_what_is_no_object_there_are_none) {
  run([] {
    int local = 0;
    reference_path path = search_for(~address_of(&local));
    EXPECT_EQ(path.result, outcome::no_object);
    EXPECT_EQ(path.what_is_there, nullptr);
    std::uintptr_t dead = 0;
    rt_test::out_of_sight([&] { dead = ~address_of(rt::make_array<rt::ref<pair>>(100'000)); });
    EXPECT_TRUE(rt_test::eventually([&] {
      path = search_for(dead);
      return path.result == outcome::no_object;
    })) << "it is found unreachable, and then freed";
    EXPECT_NE(path.what_is_there, nullptr);
  });
}

TEST_P(reference_paths, take_no_more_memory_than_they_may) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "its frames keep words of what was on the stack, so that a shorter path begins there";
#endif
  run([] {
    std::uintptr_t last = 0;
    rt_test::out_of_sight([&] {
      pair* first = rt::make<pair>();
      pair* at = first;
      for (int i = 0; i < 5000; ++i) {
        pair* fresh = rt::make<pair>();
        at->other = fresh;
        at = fresh;
        if (i == 3999) last = ~address_of(fresh);  // not the very last, of which a word may be left on the stack
      }
      in_global = first;
    });
    EXPECT_EQ(search_for(last, 1000 * 32).result, outcome::too_large);
    reference_path path = search_for(last);
    EXPECT_EQ(path.result, outcome::found);
    EXPECT_EQ(path.steps.size(), 4000U);
    in_global = nullptr;
  });
}

TEST(reference_path, outside_of_the_runtime_there_is_none) {
  EXPECT_EQ(find_reference_path(0, enough).result, outcome::not_made);
}

}  // namespace
