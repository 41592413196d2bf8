// Behaviours 26, 27 and 44 to 46: green threads that are bound to a kernel thread, and the number of kernel threads.
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "rt/rt.h"
#include "tests/conformance/conformance.h"
#include "tests/runtime/death_tests.h"

namespace {

using namespace std::chrono_literals;
using namespace conformance;
RT_ON_PROCS(conformance_threads);

long this_thread() { return syscall(SYS_gettid); }

bool thread_exists(long thread) { return std::filesystem::exists("/proc/self/task/" + std::to_string(thread)); }

TEST_P(conformance_threads, b026_a_locked_one_that_yields_in_a_loop_lets_another_go_on) {
  run([] {
    rt::chan<int> stop;
    rt::scope scope;
    scope.go([&] {
      rt::lock_os_thread();
      const long mine = this_thread();
      for (bool going = true; going;) {
        rt::select(rt::on_recv(stop, [&](auto) { going = false; }), rt::otherwise([] { rt::yield(); }));
        EXPECT_EQ(this_thread(), mine);
      }
      rt::unlock_os_thread();
    });
    rt::sleep_for(10ms);
    stop.send(1);
    scope.wait();
  });
}

TEST_P(conformance_threads, b027_locked_and_unlocked_ones_hand_a_channel_to_and_fro) {
  run([] {
    rt::chan<int> ball;
    const int rounds = scaled(1000);
    for (bool both : {false, true}) {
      rt::scope scope;
      scope.go([&] {
        rt::lock_os_thread();
        const long mine = this_thread();
        for (int i = 0; i < rounds; ++i) {
          ball.send(i);
          EXPECT_EQ(this_thread(), mine);
          EXPECT_EQ(ball.recv(), i + 1);
          EXPECT_EQ(this_thread(), mine);
        }
        rt::unlock_os_thread();
      });
      scope.go([&, both] {
        if (both) rt::lock_os_thread();
        const long mine = this_thread();
        for (int i = 0; i < rounds; ++i) {
          const int value = *ball.recv();
          ball.send(value + 1);
          if (both) {
            EXPECT_NE(mine, 0);
            EXPECT_EQ(this_thread(), mine);
          }
        }
        if (both) rt::unlock_os_thread();
      });
      scope.wait();
    }
  });
}

TEST_P(conformance_threads, b027_a_locked_one_blocks_in_every_way) {
  run([] {
    rt::scope scope;
    rt::mutex mutex;
    mutex.lock();
    scope.go([&] {
      rt::lock_os_thread();
      const long mine = this_thread();
      rt::sleep_for(1ms);
      EXPECT_EQ(this_thread(), mine);
      mutex.lock();
      mutex.unlock();
      EXPECT_EQ(this_thread(), mine);
      rt::blocking([&] {
        usleep(1000);
        EXPECT_EQ(this_thread(), mine);
      });
      EXPECT_EQ(this_thread(), mine);
      rt::unlock_os_thread();
    });
    rt::sleep_for(3ms);
    mutex.unlock();
    scope.wait();
  });
}

TEST_P(conformance_threads, b044_locks_nest_and_unlocking_too_often_is_harmless) {
  run([] {
    rt::scope scope;
    for (int g = 0; g < 4; ++g) {
      scope.go([] {
        rt::unlock_os_thread();
        rt::lock_os_thread();
        const long mine = this_thread();
        rt::lock_os_thread();
        rt::unlock_os_thread();
        for (int i = 0; i < 20; ++i) {
          rt::sleep_for(200us);
          EXPECT_EQ(this_thread(), mine) << "unlocked once of two";
        }
        rt::unlock_os_thread();
        rt::unlock_os_thread();
        rt::lock_os_thread();
        const long again = this_thread();
        rt::sleep_for(200us);
        EXPECT_EQ(this_thread(), again) << "the unlock too many is kept as a debt";
        rt::unlock_os_thread();
      });
    }
    scope.wait();
  });
}

TEST_P(conformance_threads, b044_the_thread_ends_with_a_locked_green_thread) {
  run([] {
    std::atomic<long> thread{0};
    rt::scope scope;
    scope.go([&] {
      rt::lock_os_thread();
      thread = this_thread();
      rt::yield();
    });
    scope.wait();
    EXPECT_TRUE(eventually([&] { return !thread_exists(thread); }));
    scope.go([&] {
      rt::lock_os_thread();
      thread = this_thread();
      rt::unlock_os_thread();
    });
    scope.wait();
    rt::sleep_for(20ms);
    EXPECT_TRUE(thread_exists(thread)) << "one that unlocked leaves its thread alive";
  });
}

// The slack of a thread's timers is a state that new threads inherit from the one that makes them.
TEST_P(conformance_threads, b044_altered_state_of_a_thread_reaches_nobody_else) {
  run([] {
    constexpr unsigned long altered = 123'456;
    std::atomic<bool> stop{false};
    std::atomic<int> seen{0};
    rt::scope others;
    for (int i = 0; i < 20; ++i) {
      others.go([&] {
        while (!stop) {
          seen += prctl(PR_GET_TIMERSLACK) == static_cast<int>(altered) ? 1 : 0;
          rt::yield();
          rt::blocking([&] { seen += prctl(PR_GET_TIMERSLACK) == static_cast<int>(altered) ? 1 : 0; });
        }
      });
    }
    for (int round = 0; round < scaled(100); ++round) {
      rt::scope scope;
      scope.go([] {
        rt::lock_os_thread();
        prctl(PR_SET_TIMERSLACK, altered);
        rt::go([] { rt::yield(); });
        rt::blocking([] { usleep(100); });  // its P goes to a thread that may have to be made
        rt::yield();
        EXPECT_EQ(prctl(PR_GET_TIMERSLACK), static_cast<int>(altered));
      });
      scope.wait();
    }
    stop = true;
    others.wait();
    EXPECT_EQ(seen, 0);
  });
}

// A green thread has a stack of its own, so it may park below frames of foreign code, locked or not.
TEST_P(conformance_threads, b045_parking_inside_a_callback_of_foreign_code) {
  run([] {
    static std::atomic<int> comparisons;
    comparisons = 0;
    rt::scope scope;
    for (int g = 0; g < 6; ++g) {
      scope.go([g] {
        if (g % 2 == 0) rt::lock_os_thread();
        std::vector<int> numbers;
        for (int i = 0; i < 100; ++i) numbers.push_back(i * 37 % 101);
        std::qsort(numbers.data(), numbers.size(), sizeof(int), [](const void* left, const void* right) {
          if (++comparisons % 7 == 0) rt::sleep_for(10us);
          rt::yield();
          return *static_cast<const int*>(left) - *static_cast<const int*>(right);
        });
        EXPECT_TRUE(std::is_sorted(numbers.begin(), numbers.end()));
        if (g % 2 == 0) rt::unlock_os_thread();
      });
    }
    scope.wait();
    EXPECT_GT(comparisons, 600);
  });
}

TEST(conformance_threads_misuse, b045_parking_where_there_is_no_processor_is_reported) {
  rt_test::prepare_death_test();
  EXPECT_DEATH(rt::run([] {
                 rt::chan<int> never;
                 rt::blocking([&] { never.recv(); });
                 return 0;
               }),
               "rt::chan::recv was called inside rt::blocking");
}

// More blocking calls than threads: they take turns, and nothing fails.
TEST(conformance_thread_limit, b046_more_threads_than_allowed_are_refused_without_failure) {
  for (int procs : {1, 2, 8}) {
    rt::run_options options;
    options.max_procs = procs;
    options.max_threads = procs + 2;
    rt::run(
        [&] {
          std::atomic<int> done{0};
          std::atomic<int> inside{0};
          std::atomic<int> most{0};
          const auto until = std::chrono::steady_clock::now() + 30s;
          rt::scope scope;
          for (int i = 0; i < 60; ++i) {
            scope.go([&] {
              rt::blocking([&] {
                const int now = ++inside;
                for (int before = most; before < now && !most.compare_exchange_weak(before, now);) {
                }
                // Until one was refused, however long it takes to make those that are allowed.
                do usleep(2000);
                while (rt::read_stats().threads_refused_total == 0 && std::chrono::steady_clock::now() < until);
                --inside;
              });
              ++done;
            });
          }
          scope.wait();
          EXPECT_EQ(done, 60);
          EXPECT_LE(most, options.max_threads);
          EXPECT_LE(rt::read_stats().threads, options.max_threads);
          EXPECT_GT(rt::read_stats().threads_refused_total, 0U);
          return 0;
        },
        options);
  }
}

}  // namespace
