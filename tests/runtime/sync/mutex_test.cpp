#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include "rt/rt.h"
#include "tests/runtime/death_tests.h"
#include "tests/runtime/in_runtime.h"

namespace {

using namespace std::chrono_literals;
using rt_test::scaled;
RT_ON_PROCS(mutexes);

TEST_P(mutexes, exclude) {
  run([] {
    rt::mutex mutex;
    long count = 0;
    rt::wait_group group;
    for (int i = 0; i < 16; ++i) {
      group.go([&, i] {
        for (int j = 0; j < scaled(3000); ++j) {
          std::scoped_lock lock(mutex);
          long before = count;
          if ((i + j) % 16 == 0) rt::yield();
          count = before + 1;
        }
      });
    }
    group.wait();
    EXPECT_EQ(count, 16L * scaled(3000));
  });
}

TEST_P(mutexes, hand_themselves_to_who_waits_too_long) {
  run([] {
    rt::mutex mutex;
    std::atomic<bool> stop{false};
    std::atomic<int> got{0};
    rt::wait_group group;
    for (int i = 0; i < 4; ++i) {
      group.go([&] {  // takes the mutex again at once, for most of the time
        while (!stop) {
          std::scoped_lock lock(mutex);
          auto until = rt::now() + 100us;
          while (rt::now() < until) rt::checkpoint();
        }
      });
    }
    auto start = rt::now();
    for (int i = 0; i < 10; ++i) {
      std::scoped_lock lock(mutex);
      ++got;
    }
    auto took = rt::now() - start;
    stop = true;
    group.wait();
    EXPECT_EQ(got.load(), 10);
    EXPECT_LT(took, 10s);
  });
}

TEST_P(mutexes, try_and_timed) {
  run([] {
    rt::mutex mutex;
    EXPECT_TRUE(mutex.try_lock());
    EXPECT_FALSE(mutex.try_lock());
    auto start = rt::now();
    EXPECT_FALSE(mutex.try_lock_for(2ms));
    EXPECT_GE(rt::now() - start, 2ms);
    rt::go([&] {
      rt::sleep_for(1ms);
      mutex.unlock();
    });
    EXPECT_TRUE(mutex.try_lock_for(10s));
    mutex.unlock();
    EXPECT_TRUE(mutex.try_lock()) << "a waiter that gave up has left no trace";
  });
}

TEST_P(mutexes, may_be_destroyed_right_after_the_last_unlock) {
  run([] {
    for (int i = 0; i < scaled(3000); ++i) {
      auto mutex = std::make_unique<rt::mutex>();
      rt::chan<int> locked;
      rt::chan<int> done;
      rt::go([&, raw = mutex.get()] {
        raw->lock();
        locked.send(1);
        raw->unlock();
        done.send(1);
      });
      locked.recv();
      mutex->lock();
      mutex->unlock();
      mutex.reset();
      done.recv();
    }
  });
}

// The first who waits at a place ends the unlocking with plain stores there: each mutex of the array has one of its
// own.
TEST_P(mutexes, the_first_to_wait_meets_an_unlock) {
  run([] {
    struct alignas(16) guarded {
      rt::mutex mutex;
      int count = 0;
    };
    constexpr int times = 30;
    auto all = std::make_unique<std::array<guarded, 1024>>();
    for (guarded& one : *all) {
      rt::wait_group group;
      for (int i = 0; i < 2; ++i) {
        group.go([&] {
          for (int j = 0; j < times; ++j) {
            std::scoped_lock lock(one.mutex);
            int before = one.count;
            if (j % 8 == 7) rt::yield();
            one.count = before + 1;
          }
        });
      }
      group.wait();
      EXPECT_EQ(one.count, 2 * times);
    }
  });
}

TEST_P(mutexes, storms_of_timeouts) {
  run([] {
    rt::mutex mutex;
    int inside = 0;
    std::atomic<int> had{0};
    rt::wait_group group;
    for (int i = 0; i < 8; ++i) {
      group.go([&, i] {
        for (int j = 0; j < scaled(1000); ++j) {
          if (!mutex.try_lock_for(std::chrono::microseconds((i * 5 + j) % 30))) continue;
          EXPECT_EQ(++inside, 1);
          if (j % 4 == 0) rt::yield();
          --inside;
          ++had;
          mutex.unlock();
        }
      });
    }
    group.wait();
    EXPECT_TRUE(mutex.try_lock());
    EXPECT_GT(had.load(), 0);
  });
}

TEST(mutex_death, unlocking_an_unlocked_one_is_reported) {
  rt_test::prepare_death_test();
  EXPECT_DEATH(
      {
        rt::mutex mutex;
        mutex.unlock();
      },
      "rt::mutex::unlock: the mutex is not locked");
}

TEST_P(mutexes, condition_wakes_one_or_all) {
  run([] {
    rt::mutex mutex;
    rt::condition changed;
    int tickets = 0;
    int served = 0;
    rt::wait_group group;
    for (int i = 0; i < 10; ++i) {
      group.go([&] {
        std::unique_lock<rt::mutex> lock(mutex);
        changed.wait(lock, [&] { return tickets > 0; });
        --tickets;
        ++served;
      });
    }
    for (int i = 0; i < 4; ++i) {
      std::unique_lock<rt::mutex> lock(mutex);
      ++tickets;
      changed.notify_one();
    }
    EXPECT_TRUE(rt_test::eventually([&] {
      std::unique_lock<rt::mutex> lock(mutex);
      return served == 4;
    }));
    {
      std::unique_lock<rt::mutex> lock(mutex);
      EXPECT_EQ(served, 4);
      tickets = 6;
    }
    changed.notify_all();
    group.wait();
    EXPECT_EQ(served, 10);
    EXPECT_EQ(tickets, 0);
  });
}

// The condition on a stack, destroyed by the one who was notified or by the one who notified.
TEST_P(mutexes, who_was_notified_may_destroy_the_condition) {
  run([] {
    std::atomic<int> ended{0};
    const int rounds = rt_test::scaled(10'000);
    for (int round = 0; round < rounds; ++round) {
      rt::mutex lock;
      auto changed = std::make_unique<rt::condition>();
      bool is_changed = false;
      rt::wait_group waits;
      waits.add();
      rt::go([&lock, &is_changed, &waits, &ended, here = changed.get()] {
        lock.lock();
        waits.done();
        while (!is_changed) here->wait(lock);
        lock.unlock();
        ++ended;
      });
      waits.wait();
      lock.lock();
      is_changed = true;
      changed->notify_all();
      changed.reset();
      lock.unlock();
      while (ended != round + 1) rt::yield();
    }
  });
}

TEST_P(mutexes, condition_with_a_deadline) {
  run([] {
    rt::mutex mutex;
    rt::condition never;
    mutex.lock();
    auto start = rt::now();
    EXPECT_FALSE(never.wait_for(mutex, 2ms));
    EXPECT_GE(rt::now() - start, 2ms);
    EXPECT_FALSE(mutex.try_lock()) << "the lock is held again";
    mutex.unlock();
  });
}

TEST_P(mutexes, bounded_buffer_by_conditions) {
  run([] {
    rt::mutex mutex;
    rt::condition not_empty;
    rt::condition not_full;
    std::vector<int> buffer;
    long sum = 0;
    int each = scaled(2000);
    rt::wait_group group;
    for (int p = 0; p < 4; ++p) {
      group.go([&] {
        for (int i = 1; i <= each; ++i) {
          std::unique_lock<rt::mutex> lock(mutex);
          not_full.wait(lock, [&] { return buffer.size() < 5; });
          buffer.push_back(i);
          not_empty.notify_one();
        }
      });
      group.go([&] {
        for (int i = 0; i < each; ++i) {
          std::unique_lock<rt::mutex> lock(mutex);
          not_empty.wait(lock, [&] { return !buffer.empty(); });
          sum += buffer.back();
          buffer.pop_back();
          not_full.notify_one();
        }
      });
    }
    group.wait();
    EXPECT_EQ(sum, 4L * each * (each + 1) / 2);
  });
}

}  // namespace
