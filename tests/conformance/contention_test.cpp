// Behaviour 67: what waits for locks is seen in figures and profiles.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "rt/rt.h"
#include "tests/conformance/conformance.h"

// In profiles under names that the test knows.
extern "C" {
__attribute__((noinline)) void conformance_locks(rt::mutex& mutex);
__attribute__((noinline)) void conformance_unlocks_late(rt::mutex& mutex);
__attribute__((noinline)) void conformance_unlocks_soon(rt::mutex& mutex);
__attribute__((noinline)) void conformance_leaves_late(rt::shared_mutex& mutex);
__attribute__((noinline)) void conformance_is_read_late(rt::shared_mutex& mutex);
__attribute__((noinline)) void conformance_receives(const rt::chan<int>& values);
__attribute__((noinline)) void conformance_selects(const rt::chan<int>& left, const rt::chan<int>& right);
__attribute__((noinline)) void conformance_waits_for_all(rt::wait_group& group);
}

// The empty statements keep the calls from being jumps, which leave no frame.
void conformance_locks(rt::mutex& mutex) {
  mutex.lock();
  asm volatile("" ::: "memory");
}
void conformance_unlocks_late(rt::mutex& mutex) {
  mutex.unlock();
  asm volatile("" ::: "memory");
}
void conformance_unlocks_soon(rt::mutex& mutex) {
  mutex.unlock();
  asm volatile("" ::: "memory");
}
void conformance_leaves_late(rt::shared_mutex& mutex) {
  mutex.unlock();
  asm volatile("" ::: "memory");
}
void conformance_is_read_late(rt::shared_mutex& mutex) {
  mutex.unlock_shared();
  asm volatile("" ::: "memory");
}
void conformance_receives(const rt::chan<int>& values) {
  values.recv();
  asm volatile("" ::: "memory");
}
void conformance_selects(const rt::chan<int>& left, const rt::chan<int>& right) {
  rt::select(rt::on_recv(left, [](std::optional<int>) {}), rt::on_recv(right, [](std::optional<int>) {}));
  asm volatile("" ::: "memory");
}
void conformance_waits_for_all(rt::wait_group& group) {
  group.wait();
  asm volatile("" ::: "memory");
}

namespace {

using namespace std::chrono_literals;
using namespace conformance;
using seconds = std::chrono::duration<double>;
RT_ON_PROCS(conformance_contention);

struct noted {
  double count = 0;
  seconds waited{0};
};

// What the profile has of stacks with this function; the tests of a process share the profiles.
noted find(const std::vector<rt::contention_record>& profile, const char* function) {
  noted found;
  for (const rt::contention_record& one : profile) {
    rt::green_thread_info stack;
    stack.frames = one.frames;
    if (rt::to_text(stack).find(std::string(function) + "(") == std::string::npos) continue;
    found.count += one.count;
    found.waited += one.waited;
  }
  return found;
}

noted operator-(const noted& now, const noted& before) {
  return {now.count - before.count, now.waited - before.waited};
}

// Restores what the tests change.
struct profiles {
  profiles() {
    rt::set_mutex_profile_fraction(1);
    rt::set_block_profile_rate(1ns);
  }
  ~profiles() {
    rt::set_mutex_profile_fraction(0);
    rt::set_block_profile_rate(0ns);
  }
};

// Between what is sure to have been waited for and what may have been: the clocks may differ by a little.
testing::AssertionResult is_between(seconds found, seconds least, seconds most) {
  if (found.count() >= least.count() * 0.99 && found.count() <= most.count() * 1.01 + 1e-6) {
    return testing::AssertionSuccess();
  }
  return testing::AssertionFailure() << found.count() << " s, and not between " << least.count() << " and "
                                     << most.count();
}

// How long `count` green threads that run `wait` wait together for what `release` gives, at least and at most.
struct bounds {
  seconds least{0};
  seconds most{0};
};
template <class Wait, class Release>
bounds hold_up(int count, const char* state, const Wait& wait, const Release& release) {
  bounds result;
  std::mutex writing;
  rt::scope scope;
  for (int i = 0; i < count; ++i) {
    scope.go(named("held up"), [&] {
      const rt::time_point begun = rt::now();
      const rt::time_point ended = wait();
      std::lock_guard guard(writing);
      result.most += ended - begun;
    });
  }
  EXPECT_TRUE(come_to_wait("held up", state, static_cast<std::size_t>(count)));
  const rt::time_point parked = rt::now();
  rt::sleep_for(3ms);
  result.least = count * seconds(rt::now() - parked);
  release();
  scope.wait();
  return result;
}

TEST_P(conformance_contention, b067_the_time_that_mutexes_are_waited_for_is_counted) {
  run([] {
    double before = rt::read_stats().mutex_wait_seconds_total;
    rt::mutex mutex;
    for (int i = 0; i < 1000; ++i) std::lock_guard guard(mutex);
    EXPECT_EQ(rt::read_stats().mutex_wait_seconds_total, before) << "nobody has waited";
    mutex.lock();
    const bounds waited = hold_up(
        3, "sync.Mutex.Lock",
        [&] {
          mutex.lock();
          const rt::time_point locked = rt::now();
          mutex.unlock();
          return locked;
        },
        [&] { mutex.unlock(); });
    EXPECT_TRUE(is_between(seconds(rt::read_stats().mutex_wait_seconds_total - before), waited.least, waited.most));

    before = rt::read_stats().mutex_wait_seconds_total;
    rt::shared_mutex shared;
    shared.lock();
    const bounds readers = hold_up(
        3, "sync.RWMutex.RLock",
        [&] {
          shared.lock_shared();
          const rt::time_point locked = rt::now();
          shared.unlock_shared();
          return locked;
        },
        [&] { shared.unlock(); });
    EXPECT_TRUE(is_between(seconds(rt::read_stats().mutex_wait_seconds_total - before), readers.least, readers.most));
  });
}

TEST_P(conformance_contention, b067_the_mutex_profile_charges_the_unlock_that_others_waited_for) {
  run([] {
    const profiles on;
    const noted late_before = find(rt::mutex_profile(), "conformance_unlocks_late");
    const noted soon_before = find(rt::mutex_profile(), "conformance_unlocks_soon");
    rt::mutex mutex;
    mutex.lock();
    const bounds waited = hold_up(
        4, "sync.Mutex.Lock",
        [&] {
          mutex.lock();
          const rt::time_point locked = rt::now();
          conformance_unlocks_soon(mutex);
          return locked;
        },
        [&] { conformance_unlocks_late(mutex); });
    const noted late = find(rt::mutex_profile(), "conformance_unlocks_late") - late_before;
    const noted soon = find(rt::mutex_profile(), "conformance_unlocks_soon") - soon_before;
    EXPECT_EQ(late.count, 1);
    EXPECT_TRUE(
        is_between(late.waited, waited.least, waited.most));  // for all four, not only for the one that goes first
    EXPECT_LE((late.waited + soon.waited).count(), waited.most.count() * 1.01 + 1e-6) << "no wait counts twice";
    EXPECT_LE(soon.count, 3 + 4) << "some may have come too late, and waited again";
  });
}

TEST_P(conformance_contention, b067_the_mutex_profile_has_both_unlocks_of_a_shared_mutex) {
  run([] {
    const profiles on;
    const noted left_before = find(rt::mutex_profile(), "conformance_leaves_late");
    const noted read_before = find(rt::mutex_profile(), "conformance_is_read_late");
    rt::shared_mutex mutex;
    mutex.lock();
    const bounds readers = hold_up(
        3, "sync.RWMutex.RLock",
        [&] {
          mutex.lock_shared();
          const rt::time_point locked = rt::now();
          mutex.unlock_shared();
          return locked;
        },
        [&] { conformance_leaves_late(mutex); });
    mutex.lock_shared();
    const bounds writer = hold_up(
        1, "sync.RWMutex.Lock",
        [&] {
          mutex.lock();
          const rt::time_point locked = rt::now();
          mutex.unlock();
          return locked;
        },
        [&] { conformance_is_read_late(mutex); });
    const noted left = find(rt::mutex_profile(), "conformance_leaves_late") - left_before;
    const noted read = find(rt::mutex_profile(), "conformance_is_read_late") - read_before;
    EXPECT_EQ(left.count, 1);
    EXPECT_TRUE(is_between(left.waited, readers.least, readers.most));
    EXPECT_EQ(read.count, 1);
    EXPECT_TRUE(is_between(read.waited, writer.least, writer.most));
  });
}

TEST_P(conformance_contention, b067_the_block_profile_has_the_waits) {
  run([] {
    const profiles on;
    struct one_kind {
      const char* function;
      const char* state;
      std::function<void()> wait;
      std::function<void()> release;
    };
    rt::chan<int> values;
    rt::chan<int> left;
    rt::chan<int> right;
    rt::mutex mutex;
    rt::wait_group group;
    mutex.lock();
    group.add(1);
    const one_kind kinds[] = {
        {"conformance_receives", "chan receive", [&] { conformance_receives(values); }, [&] { values.send(1); }},
        {"conformance_selects", "select", [&] { conformance_selects(left, right); }, [&] { right.send(1); }},
        {"conformance_locks", "sync.Mutex.Lock", [&] { conformance_locks(mutex); }, [&] { mutex.unlock(); }},
        {"conformance_waits_for_all", "sync.WaitGroup.Wait", [&] { conformance_waits_for_all(group); },
         [&] { group.done(); }},
    };
    for (const one_kind& one : kinds) {
      const noted before = find(rt::block_profile(), one.function);
      const bounds waited = hold_up(
          1, one.state,
          [&] {
            one.wait();
            return rt::now();
          },
          one.release);
      const noted found = find(rt::block_profile(), one.function) - before;
      EXPECT_EQ(found.count, 1) << one.function;
      EXPECT_TRUE(is_between(found.waited, waited.least, waited.most)) << one.function;
    }
  });
}

TEST_P(conformance_contention, b067_profiles_can_be_turned_off_and_take_samples) {
  run([] {
    EXPECT_EQ(rt::set_mutex_profile_fraction(-1), 0) << "off at the start";
    EXPECT_EQ(rt::set_mutex_profile_fraction(4), 0);
    EXPECT_EQ(rt::set_mutex_profile_fraction(-1), 4);
    EXPECT_EQ(rt::set_mutex_profile_fraction(0), 4);
    const noted mutexes = find(rt::mutex_profile(), "conformance_unlocks_late");
    const noted blocks = find(rt::block_profile(), "conformance_locks");
    auto contend = [](int times) {
      rt::mutex mutex;
      for (int i = 0; i < times; ++i) {
        rt::scope scope;
        mutex.lock();
        scope.go(named("held up"), [&] {
          conformance_locks(mutex);
          mutex.unlock();
        });
        ASSERT_TRUE(eventually([] { return count_in_state("held up", "sync.Mutex.Lock") == 1; }));
        conformance_unlocks_late(mutex);
        scope.wait();
      }
    };
    contend(3);
    EXPECT_EQ((find(rt::mutex_profile(), "conformance_unlocks_late") - mutexes).count, 0);
    EXPECT_EQ((find(rt::block_profile(), "conformance_locks") - blocks).count, 0);

    // One in two: each that is noted counts twice. All of 20, or none, come once in half a million runs.
    rt::set_mutex_profile_fraction(2);
    contend(20);
    rt::set_mutex_profile_fraction(0);
    const double count = (find(rt::mutex_profile(), "conformance_unlocks_late") - mutexes).count;
    EXPECT_EQ(static_cast<long>(count) % 2, 0);
    EXPECT_GT(count, 0);
    EXPECT_LT(count, 40);

    // Waits that are much shorter than the rate are noted seldom, and longer ones always.
    rt::set_block_profile_rate(24h);
    contend(3);
    EXPECT_EQ((find(rt::block_profile(), "conformance_locks") - blocks).count, 0);
    rt::set_block_profile_rate(1us);
    contend(3);  // eventually() leaves each a millisecond
    rt::set_block_profile_rate(0ns);
    EXPECT_EQ((find(rt::block_profile(), "conformance_locks") - blocks).count, 3);
  });
}

}  // namespace
