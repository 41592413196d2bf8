#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <stdexcept>
#include <string>

#include "rt/rt.h"
#include "tests/runtime/in_runtime.h"

namespace {

using namespace std::chrono_literals;
RT_ON_PROCS(blocking);

// Neither the light ones nor each other: all are in their calls at once, and none comes back before the end.
TEST_P(blocking, does_not_hold_up_the_others) {
  run([] {
    constexpr int count = 20;
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    std::atomic<int> inside{0};
    rt::wait_group group;
    for (int i = 0; i < count; ++i) {
      group.go([&] {
        rt::blocking([&] {
          ++inside;
          char byte;
          EXPECT_EQ(read(ends[0], &byte, 1), 1);
        });
      });
    }
    std::atomic<int> light{0};
    for (int i = 0; i < 100; ++i) group.go([&] { ++light; });
    EXPECT_TRUE(rt_test::eventually([&] { return light == 100 && inside == count; }));
    EXPECT_EQ(write(ends[1], std::string(count, 'x').data(), count), count);
    group.wait();
    close(ends[0]);
    close(ends[1]);
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
      while (done.size() == 0 && rt::now() - start < 30s) usleep(1000);
    });
    EXPECT_EQ(done.size(), 1U) << "nobody ran the timer";
  });
}

TEST(blocking_outside, is_a_plain_call) {
  EXPECT_EQ(rt::blocking([] { return 5; }), 5);
}

}  // namespace
