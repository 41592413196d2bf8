#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <stdexcept>

#include "rt/rt.h"
#include "tests/runtime/in_runtime.h"

namespace {

using namespace std::chrono_literals;
RT_ON_PROCS(blocking);

TEST_P(blocking, does_not_hold_up_the_others) {
  run([] {
    constexpr int count = 20;
    rt::wait_group group;
    auto start = rt::now();
    for (int i = 0; i < count; ++i) group.go([] { rt::blocking([] { usleep(400'000); }); });
    std::atomic<int> light{0};
    for (int i = 0; i < 100; ++i) group.go([&] { ++light; });
    while (light != 100) rt::yield();
    EXPECT_LT(rt::now() - start, 390ms) << "the light ones waited for the blocked ones";
    group.wait();
    EXPECT_LT(rt::now() - start, count * 400ms / 2) << "the blocked ones waited for each other";
  });
}

TEST_P(blocking, returns_values_references_and_exceptions) {
  run([] {
    int value = 3;
    EXPECT_EQ(rt::blocking([] { return 7; }), 7);
    EXPECT_EQ(&rt::blocking([&]() -> int& { return value; }), &value);
    EXPECT_THROW(rt::blocking([]() -> int { throw std::out_of_range("x"); }), std::out_of_range);
    EXPECT_EQ(rt::blocking([] { return rt::blocking([] { return 9; }); }), 9);
  });
}

TEST_P(blocking, non_blocking_calls_are_allowed_inside) {
  run([] {
    rt::chan<int> out(1);
    rt::chan<int> from_spawned;
    rt::mutex mutex;
    mutex.lock();
    rt::blocking([&] {
      EXPECT_TRUE(out.try_send(4));
      mutex.unlock();
      rt::go([=] { from_spawned.send(6); });
    });
    EXPECT_EQ(out.recv(), 4);
    EXPECT_EQ(from_spawned.recv(), 6);
    EXPECT_TRUE(mutex.try_lock());
  });
}

TEST_P(blocking, timers_go_on_while_every_processor_was_given_away) {
  run([] {
    rt::chan<int> done(1);
    rt::go([=] {
      rt::sleep_for(5ms);
      done.send(1);
    });
    rt::yield();
    auto start = rt::now();
    rt::blocking([&] {
      while (done.size() == 0 && rt::now() - start < 5s) usleep(1000);
    });
    EXPECT_EQ(done.size(), 1U) << "nobody ran the timer";
  });
}

TEST(blocking_outside, is_a_plain_call) {
  EXPECT_EQ(rt::blocking([] { return 5; }), 5);
}

}  // namespace
