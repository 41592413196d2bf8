#include <gtest/gtest.h>

#include <cstdlib>
#include <stdexcept>

#include "rt/rt.h"
#include "tests/runtime/death_tests.h"
#include "tests/runtime/in_runtime.h"

namespace {

using namespace std::chrono_literals;

TEST(run, returns_what_the_function_returns_and_can_be_repeated) {
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(rt::run([i] { return i; }), i);
  }
}

TEST(run, rethrows_what_leaves_the_function) {
  EXPECT_THROW(rt::run([]() -> int { throw std::out_of_range("x"); }), std::out_of_range);
  EXPECT_EQ(rt::run([] { return 4; }), 4) << "and can be run again";
}

TEST(run, refuses_a_second_runtime) {
  rt::run([] {
    EXPECT_THROW(rt::run([] { return 0; }), std::logic_error);
    return 0;
  });
}

TEST(run, refuses_bad_numbers_of_processors) {
  rt::run_options options;
  options.max_procs = 257;
  EXPECT_THROW(rt::run([] { return 0; }, options), std::invalid_argument);
  options.max_procs = -1;
  EXPECT_THROW(rt::run([] { return 0; }, options), std::invalid_argument);
  setenv("RT_MAX_PROCS", "elephant", 1);
  EXPECT_THROW(rt::run([] { return 0; }), std::invalid_argument);
  setenv("RT_MAX_PROCS", "3", 1);
  rt::run([] {
    EXPECT_EQ(rt::max_procs(), 3);
    return 0;
  });
  unsetenv("RT_MAX_PROCS");
}

TEST(run, cancels_green_threads_that_are_left) {
  int unwound = 0;
  rt::run(
      [&] {
        for (int i = 0; i < 5; ++i) {
          rt::go([&] {
            struct note {
              int* count;
              ~note() { ++*count; }
            } at_end{&unwound};
            rt::sleep_for(1h);
          });
        }
        rt::sleep_for(1ms);
        return 0;
      },
      {.max_procs = 1});
  EXPECT_EQ(unwound, 5);
}

TEST(run, go_outside_is_refused) {
  EXPECT_THROW(rt::go([] {}), std::system_error);
}

TEST(run_death, an_exception_that_leaves_a_green_thread_ends_a_plain_program_with_a_report) {
  rt_test::prepare_death_test();
  EXPECT_DEATH(rt::run([] {
                 rt::go([] { throw std::runtime_error("unhappy"); });
                 rt::sleep_for(5s);
                 return 0;
               }),
               "an exception left green thread .*runtime_error: unhappy");
}

TEST(run_death, blocking_calls_outside_green_threads_are_reported) {
  rt_test::prepare_death_test();
  EXPECT_DEATH(
      {
        rt::chan<int> empty;
        empty.recv();
      },
      "rt::chan::recv was called outside a green thread");
}

}  // namespace
