// What the options of RT_DEBUG that look for mistakes show. Each runs in a process of its own: some count from the
// first allocation on.
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "runtime/gc/barrier_check.h"
#include "runtime/heap/heap.h"
#include "runtime/sched/scheduler.h"
#include "tests/runtime/death_tests.h"
#include "tests/runtime/gc/objects.h"

namespace {

using testing::ExitedWithCode;

template <class Body>
void run_with(const char* options, const Body& body) {
  setenv("RT_DEBUG", options, 1);
  rt_test::in_runtime(2, body);
  _exit(testing::Test::HasFailure() ? 1 : 0);
}

struct pair {
  std::uint64_t number = 0;
  rt::ref<pair> other;
};

struct careless {
  pair* plain = nullptr;  // where an rt::ref belongs
  rt::ref<pair> right;
};

// The steps of a cycle, with a store in between that tells no barrier. How many losses were reported.
std::size_t overwrite_in_a_cycle(bool with_barrier) {
  careless* volatile holder = rt::make<careless>();
  rt_test::out_of_sight([&] {
    holder->plain = rt::make<pair>();
    holder->right = rt::make<pair>();
  });
  rt::detail::the_scheduler()->stop_the_world();
  rt::detail::begin_mark();
  rt::detail::barrier_check check;
  check.note_references();
  auto mark = [](const void* object) {
    rt::detail::object_place place{};
    if (rt::detail::find_object(reinterpret_cast<std::uintptr_t>(object), place)) place.in->try_mark(place.index);
  };
  mark(holder);
  if (with_barrier) {
    mark(holder->plain);  // as gc_barrier does with what is overwritten
    mark(holder->right.get());
  } else {
    mark(holder->right.get());
  }
  holder->plain = nullptr;
  holder->right = nullptr;
  std::size_t lost = check.check();
  rt::detail::end_mark();
  rt::detail::the_scheduler()->start_the_world();
  return lost;
}

TEST(debug_options_death, gcverifybarrier_reports_what_overwrites_without_a_barrier) {
  rt_test::prepare_death_test();
  EXPECT_EXIT(run_with("", [] { EXPECT_EQ(overwrite_in_a_cycle(false), 1U); }), ExitedWithCode(0),
              "gcverifybarrier: the word at .* at offset 0, referred to the object at .*must be an rt::ref");
  EXPECT_EXIT(run_with("", [] { EXPECT_EQ(overwrite_in_a_cycle(true), 0U); }), ExitedWithCode(0), "^$");
}

TEST(debug_options_death, gcverifybarrier_has_nothing_to_say_of_references) {
  rt_test::prepare_death_test();
  EXPECT_EXIT(run_with("gcverifybarrier",
                       [] {
                         rt::root<pair> kept(rt::make<pair>());
                         for (int i = 0; i < 20; ++i) {
                           for (int k = 0; k < 100; ++k) {
                             pair* fresh = rt::make<pair>();
                             fresh->other = kept->other.get();
                             kept->other = fresh;
                           }
                           rt::gc();
                           kept->other = kept->other->other.get();
                         }
                       }),
              ExitedWithCode(0), "^$");
}

TEST(debug_options_death, gcpoison_fills_what_is_dead) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "its frames keep words of what was on the stack, and it reports the use of free slots itself";
#endif
  rt_test::prepare_death_test();
  EXPECT_EXIT(run_with("gcpoison",
                       [] {
                         // Two of one span: the other one keeps it.
                         rt::root<char> stays(rt::make_array<char>(3000));
                         std::uintptr_t dead = 0;
                         rt_test::out_of_sight([&] {
                           char* text = rt::make_array<char>(3000);
                           std::memset(text, 'x', 3000);
                           dead = ~reinterpret_cast<std::uintptr_t>(text);
                         });
                         EXPECT_TRUE(rt_test::eventually([&] {
                           rt::gc();
                           rt::detail::object_place place{};
                           return !rt::detail::find_object(~dead, place);
                         }));
                         EXPECT_EQ(*reinterpret_cast<volatile unsigned char*>(~dead + 1000), 0xdb);
                       }),
              ExitedWithCode(0), "^$");
}

TEST(debug_options_death, efence_closes_what_is_freed) {
  rt_test::prepare_death_test();
  EXPECT_EXIT(run_with("efence,gccheckheap",
                       [] {
                         std::uintptr_t dead = 0;
                         rt_test::tally count;
                         rt_test::out_of_sight([&] {
                           // One of them a word on a stack may keep.
                           for (int i = 0; i < 10; ++i) {
                             dead = ~reinterpret_cast<std::uintptr_t>(rt::make<rt_test::node>(count));
                           }
                         });
                         EXPECT_TRUE(rt_test::eventually([&] {
                           rt::gc();
                           return std::strcmp(rt::detail::describe_heap_address(~dead),
                                              "a freed object of the collected heap") == 0;
                         }));
                         EXPECT_GE(count.destroyed, 1);
                         // A write of it: reading its bytes fails in the kernel.
                         EXPECT_EQ(syscall(SYS_write, STDERR_FILENO, ~dead, 1), -1);
                       }),
              ExitedWithCode(0), "^$");
}

TEST(debug_options_death, gcpacertrace_writes_a_line_for_each_cycle) {
  rt_test::prepare_death_test();
  EXPECT_EXIT(
      run_with("gcpacertrace", [] { rt::gc(); }), ExitedWithCode(0),
      "pacer: gc 1 triggered at [0-9]+, marked [0-9]+ and heap [0-9]+ of goal [0-9]+; looked into [0-9]+, assist "
      "ratio [0-9.]+, cons/mark [0-9.]+; next at [0-9]+, goal [0-9]+");
}

TEST(debug_options_death, allocfreetrace_tells_where) {
  rt_test::prepare_death_test();
  EXPECT_EXIT(run_with("allocfreetrace",
                       [] {
                         // One of them a word on a stack may keep.
                         rt_test::out_of_sight([] {
                           for (int i = 0; i < 10; ++i) static_cast<void>(rt::make_array<char>(3000));
                         });
                         EXPECT_TRUE(rt_test::eventually([] {
                           rt::gc();
                           return rt::read_mem_stats().frees > 0;
                         }));
                       }),
              ExitedWithCode(0),
              "allocfreetrace: alloc 0x[0-9a-f]+ 3072 bytes, .*green thread [0-9]+: .*\\+0x[0-9a-f]+(.*\n)*"
              "allocfreetrace: free 0x[0-9a-f]+ [0-9]+ bytes");
}

}  // namespace
