// rt::mutex (runtime/sync/mutex.cpp), the real one, in all orders within bounds: it excludes, whoever unlocks happens
// before whoever locks next, no waiter is forgotten, and it may be destroyed by whoever gets it last. The unlock by a
// plain store is what these tests are for: a place of the table is as fresh in each execution as at the program's
// start, so that somebody always begins to wait there while another one unlocks.
#include <gtest/gtest.h>

#include <memory>
#include <new>

#include "rt/chan.h"
#include "rt/go.h"
#include "rt/mutex.h"
#include "runtime/sync/wait_table.h"
#include "tests/model/expect.h"
#include "tests/model/green_threads.h"
#include "tests/model/system.h"

// No test here waits with a time; chan.cpp, which has the real one, is not part of this program.
std::int64_t rt::detail::deadline_after(std::chrono::nanoseconds length) noexcept { return length.count(); }

namespace {

using rt::detail::unlocking;
using rt_model::green;

// What an execution that was left in the middle has left in the two tables goes.
void begin_with(const rt::mutex& mutex, unlocking way) {
  rt_model::unwatched guard;
  ::new (&rt::detail::wait_bucket_of(&mutex)) rt::detail::wait_bucket;
  ::new (&rt::detail::unlocking_of(&mutex)) std::atomic<unlocking>(way);
}

struct guarded {
  rt::mutex mutex;
  int count = 0;  // plain: whoever is not excluded races

  explicit guarded(unlocking way) {
    begin_with(mutex, way);
    rt_model::name(&mutex, "mutex");
    rt_model::name(&rt::detail::unlocking_of(&mutex), "way");
  }
  void add() {
    mutex.lock();
    ++count;
    mutex.unlock();
  }
};

void two_add(unlocking way) {
  green one;
  green other;
  guarded shared(way);
  one.run([&] { shared.add(); });
  other.run([&] { shared.add(); });
  rt_model::join();
  rt_model::require(shared.count == 2, "not everybody has been inside");
}

void three_add() {
  green one;
  green other;
  green third;
  guarded shared(unlocking::with_stores);
  one.run([&] { shared.add(); });
  other.run([&] { shared.add(); });
  third.run([&] { shared.add(); });
  rt_model::join();
  rt_model::require(shared.count == 3, "not everybody has been inside");
}

// One adds twice: the second time the mutex may be waited for, or the way may have changed.
void one_adds_twice() {
  green one;
  green other;
  guarded shared(unlocking::with_stores);
  one.run([&] {
    shared.add();
    shared.add();
  });
  other.run([&] { shared.add(); });
  rt_model::join();
  rt_model::require(shared.count == 3, "not everybody has been inside");
}

// It is locked when both come, so that one may wait and the other one take it first.
void a_newcomer_overtakes(unlocking way) {
  green waiter;
  green newcomer;
  guarded shared(way);
  shared.mutex.lock();
  waiter.run([&] { shared.add(); });
  newcomer.run([&] { shared.add(); });
  ++shared.count;
  shared.mutex.unlock();
  rt_model::join();
  rt_model::require(shared.count == 3, "not everybody has been inside");
}

void the_last_one_destroys_it(unlocking way) {
  green one;
  green other;
  auto shared = std::make_unique<guarded>(way);
  auto add_or_destroy = [&] {
    shared->mutex.lock();
    bool last = ++shared->count == 2;
    shared->mutex.unlock();
    if (last) shared.reset();
  };
  one.run(add_or_destroy);
  other.run(add_or_destroy);
  rt_model::join();
}

void a_waiter_is_cancelled() {
  green one;
  green other;
  guarded shared(unlocking::with_stores);
  bool added = false;
  one.run([&] { shared.add(); });
  other.run([&] {
    try {
      shared.add();
      added = true;
    } catch (const rt::cancelled&) {
    }
  });
  rt_model::thread([&] { other.cancel(); });
  rt_model::join();
  rt_model::require(shared.count == (added ? 2 : 1), "the mutex was locked and not had, or had and not locked");
  rt_model::require(shared.mutex.try_lock(), "it is left locked");
}

rt_model::options preempted(int times) {
  rt_model::options bounds;
  bounds.preemptions = times;
  return bounds;
}

TEST(mutex_model, two_exclude_each_other) {
  rt_model::expect_holds("mutex, two, plain", {}, [] { two_add(unlocking::with_stores); });
  rt_model::expect_holds("mutex, two, atomic", {}, [] { two_add(unlocking::with_atomics); });
}
TEST(mutex_model, three_exclude_each_other) {
  rt_model::expect_holds("mutex, three", preempted(1), [] { three_add(); });
}
TEST(mutex_model, one_comes_twice) {
  rt_model::expect_holds("mutex, twice", preempted(2), [] { one_adds_twice(); });
}
TEST(mutex_model, a_newcomer_overtakes) {
  rt_model::expect_holds("mutex, newcomer, plain", preempted(1), [] { a_newcomer_overtakes(unlocking::with_stores); });
  rt_model::expect_holds("mutex, newcomer, atomic", preempted(2),
                         [] { a_newcomer_overtakes(unlocking::with_atomics); });
}
TEST(mutex_model, the_last_one_destroys_it) {
  rt_model::expect_holds("mutex, destroyed, plain", preempted(3),
                         [] { the_last_one_destroys_it(unlocking::with_stores); });
  rt_model::expect_holds("mutex, destroyed, atomic", preempted(3),
                         [] { the_last_one_destroys_it(unlocking::with_atomics); });
}
TEST(mutex_model, a_waiter_is_cancelled) {
  rt_model::expect_holds("mutex, cancelled", preempted(1), [] { a_waiter_is_cancelled(); });
}

// What makes a store enough: the barrier comes before the bit of the one who waits.
TEST(mutex_model, needs_the_barrier) {
  rt_model::leave_out_barriers = true;
  rt_model::expect_found(
      "mutex, no barrier", preempted(3), [] { two_add(unlocking::with_stores); }, "deadlock");
  rt_model::leave_out_barriers = false;
}

TEST(mutex_model, each_order_is_needed) {
  auto all = [] {
    switch (rt_model::choose(6)) {
      case 0:
        return two_add(unlocking::with_stores);
      case 1:
        return two_add(unlocking::with_atomics);
      case 2:
        return one_adds_twice();
      case 3:
        return the_last_one_destroys_it(unlocking::with_stores);
      case 4:
        return a_newcomer_overtakes(unlocking::with_atomics);
      default:
        return the_last_one_destroys_it(unlocking::with_atomics);
    }
  };
  // A lock that fails goes on to the bucket, whose lock orders it. That a thread comes after the barrier of another one
  // whose change it sees needs an order where loads may be made late; the model makes each when it comes (load
  // buffering, explorer.cpp).
  rt_model::expect_all_found(
      "mutex", preempted(1), all, {"rt/mutex.h", "sync/mutex.cpp"},
      {"failure acquire -> relaxed: if (!state_.compare_exchange_strong(free, 1",
       "failure acquire -> relaxed: if (state_.compare_exchange_weak(state, state | is_locked",
       "acquire -> relaxed: if (way.load(std::memory_order_acquire) == unlocking::with_atomics) return;",
       "release -> relaxed: way.store(unlocking::with_atomics"});
}

}  // namespace
