// Mutexes of the system in the hands of green threads that wait.
#include <gtest/gtest.h>
#include <pthread.h>

#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <thread>

#include "rt/rt.h"
#include "runtime/task/task_state.h"
#include "tests/runtime/in_runtime.h"
#include "tests/runtime/waiting.h"

// Not in the anonymous namespace: the reports name them.
__attribute__((noinline)) void locking_helper(std::mutex& mutex) {
  mutex.lock();
  asm volatile("");  // no tail call
}
__attribute__((noinline)) void waits_with_the_mutex(std::mutex& mutex) {
  locking_helper(mutex);
  rt::sleep_for(std::chrono::milliseconds(20));  // one that is over before its thread comes to wait is none
  mutex.unlock();
}
// One function for each instance of the test: a pair of places is reported once in a process.
template <int instance>
__attribute__((noinline)) void waits_thrice(rt::task&) {
  std::mutex mutex;
  volatile int left = 3 + 0 * instance;
  do {  // one place, and not three
    waits_with_the_mutex(mutex);
    left = left - 1;
  } while (left != 0);
}

namespace {

using namespace std::chrono_literals;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define RT_SKIP_WITH_SANITIZER() GTEST_SKIP() << "sanitizers have these functions themselves"
#else
#define RT_SKIP_WITH_SANITIZER() static_cast<void>(0)
#endif

class os_locks : public rt_test::on_procs {
 protected:
  /// How many waits began with a lock held while `body` ran.
  static std::uint64_t parks(const std::function<void()>& body) {
    std::uint64_t before = rt::read_stats().os_lock_parks_total;
    body();
    return rt::read_stats().os_lock_parks_total - before;
  }
  /// One wait, and not less: a sleep may be over before its thread has come to wait, so whoever ends this has seen it.
  static void wait() {
    rt::chan<int> woken;
    rt::go([woken] {
      EXPECT_TRUE(rt_test::come_to_wait_in("chan receive"));
      woken.send(1);
    });
    woken.recv();
  }
};
INSTANTIATE_TEST_SUITE_P(procs, os_locks, testing::Values(1, 2, 8),
                         [](const testing::TestParamInfo<int>& one) { return std::to_string(one.param); });

TEST_P(os_locks, held_over_a_wait_are_reported_once_with_both_places) {
  RT_SKIP_WITH_SANITIZER();
  run([] {
    auto log = std::make_shared<rt::detail::log_queue>();
    rt::chan<int> ended(1);
    rt::detail::task_spec spec;
    spec.id = "holder";
    spec.plugin = "test";
    spec.entry = "entry";
    spec.function = GetParam() == 1 ? &waits_thrice<1> : GetParam() == 2 ? &waits_thrice<2> : &waits_thrice<8>;
    rt::detail::task_state task(std::move(spec), log,
                                [&](rt::detail::task_state&, rt::detail::task_phase phase, const std::string&) {
                                  if (is_final(phase)) ended.try_send(1);
                                });
    EXPECT_EQ(parks([&] {
                task.start();
                ended.recv();
              }),
              3U);
    std::vector<rt::detail::log_line> lines;
    log->take(lines);
    ASSERT_EQ(lines.size(), 1U);
    const std::string& text = lines[0].message;
    EXPECT_EQ(lines[0].level, rt::log_level::warn);
    std::size_t waits = text.find("It waits at ");
    std::size_t locked = text.find("; locked at ");
    ASSERT_NE(waits, std::string::npos) << text;
    ASSERT_NE(locked, std::string::npos) << text;
    EXPECT_LT(text.find("rt::detail::park_until", waits), locked) << text;
    EXPECT_LT(text.find("waits_with_the_mutex", waits), locked) << text;
    EXPECT_NE(text.find("locking_helper", locked), std::string::npos) << text;
    EXPECT_NE(text.find("waits_with_the_mutex", locked), std::string::npos) << text;
  });
}

TEST_P(os_locks, given_up_before_the_wait_are_nothing) {
  RT_SKIP_WITH_SANITIZER();
  run([] {
    std::mutex mutex;
    std::recursive_mutex recursive;
    std::shared_mutex shared;
    std::timed_mutex timed;
    EXPECT_EQ(parks([&] {
                { std::lock_guard guard(mutex); }
                recursive.lock();
                recursive.lock();
                recursive.unlock();
                recursive.unlock();
                { std::shared_lock guard(shared); }
                { std::unique_lock guard(shared); }
                if (timed.try_lock_for(1ms)) timed.unlock();
                if (mutex.try_lock()) mutex.unlock();
                wait();
              }),
              0U);
  });
}

TEST_P(os_locks, of_every_kind_are_counted) {
  RT_SKIP_WITH_SANITIZER();
  run([] {
    // Its owner is the kernel thread: after the wait it could not be unlocked, so green thread and mutex are given up.
    EXPECT_EQ(parks([] {
                rt::scope scope;
                scope.go([] {
                  auto* recursive = new std::recursive_mutex;
                  recursive->lock();
                  recursive->lock();
                  recursive->unlock();
                  wait();
                });
                scope.wait();
              }),
              1U);
    std::shared_mutex shared;
    EXPECT_EQ(parks([&] {
                shared.lock_shared();
                wait();
                shared.unlock_shared();
                shared.lock();
                wait();
                shared.unlock();
                wait();
              }),
              2U);
    std::timed_mutex timed;
    EXPECT_EQ(parks([&] {
                ASSERT_TRUE(timed.try_lock_for(1ms));
                wait();
                timed.unlock();
                ASSERT_TRUE(timed.try_lock());
                wait();
                timed.unlock();
                wait();
              }),
              2U);
  });
}

TEST_P(os_locks, that_were_refused_are_not_counted) {
  RT_SKIP_WITH_SANITIZER();
  run([] {
    pthread_mutexattr_t checks;
    pthread_mutexattr_init(&checks);
    pthread_mutexattr_settype(&checks, PTHREAD_MUTEX_ERRORCHECK);
    pthread_mutex_t mutex;
    pthread_mutex_init(&mutex, &checks);
    EXPECT_EQ(parks([&] {
                EXPECT_EQ(pthread_mutex_lock(&mutex), 0);
                EXPECT_EQ(pthread_mutex_lock(&mutex), EDEADLK);
                EXPECT_EQ(pthread_mutex_trylock(&mutex), EBUSY);
                EXPECT_EQ(pthread_mutex_unlock(&mutex), 0);
                EXPECT_EQ(pthread_mutex_unlock(&mutex), EPERM);
                wait();
              }),
              0U);
    pthread_mutex_destroy(&mutex);
    pthread_mutexattr_destroy(&checks);
  });
}

TEST_P(os_locks, with_condition_variables_come_out_even) {
  RT_SKIP_WITH_SANITIZER();
  run([] {
    std::mutex mutex;
    std::condition_variable changed;
    bool ready = false;
    std::thread other([&] {
      std::lock_guard guard(mutex);
      ready = true;
      changed.notify_one();
    });
    EXPECT_EQ(parks([&] {
                {
                  std::unique_lock guard(mutex);
                  changed.wait(guard, [&] { return ready; });
                }
                wait();
              }),
              0U);
    other.join();
  });
}

TEST_P(os_locks, are_told_apart_in_whatever_order_they_are_unlocked) {
  RT_SKIP_WITH_SANITIZER();
  run([] {
    std::mutex many[6];
    EXPECT_EQ(parks([&] {
                for (std::mutex& one : many) one.lock();
                wait();
                for (int i : {0, 5, 2, 3, 1}) many[i].unlock();
                wait();
                many[4].unlock();
                wait();
              }),
              2U);
  });
}

// Many green threads lock, wait, go on elsewhere and unlock; in the end nobody holds anything.
TEST_P(os_locks, go_with_their_green_thread) {
  RT_SKIP_WITH_SANITIZER();
  run([] {
    constexpr int count = 64;
    std::uint64_t held = parks([] {
      rt::chan<int> first;
      rt::chan<int> second;
      std::atomic<int> woken{0};
      rt::scope scope;
      for (int i = 0; i < count; ++i) {
        scope.go([&] {
          std::mutex mine;
          std::lock_guard guard(mine);
          first.recv();
          ++woken;
          rt::yield();
          second.recv();
        });
      }
      // Each gate opens when all wait at it: then all have.
      EXPECT_TRUE(rt_test::come_to_wait_in("chan receive", count));
      first.close();
      EXPECT_TRUE(rt_test::eventually([&] { return woken == count; }));
      EXPECT_TRUE(rt_test::come_to_wait_in("chan receive", count));
      second.close();
      scope.wait();
    });
    EXPECT_EQ(held, std::uint64_t{2 * count});
    EXPECT_EQ(parks([] {
                rt::scope scope;
                for (int i = 0; i < count; ++i) scope.go(&wait);
                scope.wait();
              }),
              0U);
  });
}

TEST_P(os_locks, of_other_threads_are_not_looked_at) {
  RT_SKIP_WITH_SANITIZER();
  std::mutex outside;
  std::lock_guard guard(outside);
  run([] {
    EXPECT_EQ(parks([] {
                std::thread([] {
                  std::mutex kept;
                  kept.lock();
                  rt::sleep_for(100us);  // a kernel thread's
                  kept.unlock();
                }).join();
                wait();
              }),
              0U);
  });
}

}  // namespace
