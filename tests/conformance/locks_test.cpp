// Behaviours 57 to 66: mutexes and what is like them.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <random>
#include <shared_mutex>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include "rt/rt.h"
#include "tests/conformance/conformance.h"
#include "tests/runtime/death_tests.h"

namespace {

using namespace std::chrono_literals;
using namespace conformance;
RT_ON_PROCS(conformance_locks);

TEST_P(conformance_locks, b057_a_mutex_excludes_under_stress) {
  const unsigned seed = printed_seed();
  run([seed] {
    rt::mutex mutex;
    int inside = 0;
    long locked = 0;
    std::atomic<long> expected{0};
    rt::wait_group group;
    for (unsigned g = 0; g < 10; ++g) {
      group.go([&, g] {
        std::minstd_rand random(seed + g);
        for (int i = 0; i < scaled(10'000); ++i) {
          if (i % 3 == 0) {
            if (!mutex.try_lock()) continue;
          } else {
            mutex.lock();
          }
          ASSERT_EQ(++inside, 1);
          ++locked;
          ++expected;
          if (random() % 32 == 0) rt::yield();
          --inside;
          mutex.unlock();
        }
      });
    }
    group.wait();
    EXPECT_EQ(locked, expected);
    EXPECT_TRUE(mutex.try_lock());
    EXPECT_FALSE(mutex.try_lock());
    mutex.unlock();
    EXPECT_TRUE(mutex.try_lock());
  });
}

TEST(conformance_locks_misuse, b057_unlocking_an_unlocked_mutex_has_its_own_report) {
  rt_test::prepare_death_test();
  EXPECT_DEATH(
      {
        rt::mutex mutex;
        mutex.lock();
        mutex.unlock();
        mutex.unlock();
      },
      "rt::mutex::unlock: the mutex is not locked");
}

TEST_P(conformance_locks, b058_one_that_comes_seldom_gets_a_mutex_that_is_always_held) {
  run([] {
    rt::mutex mutex;
    std::atomic<bool> stop{false};
    rt::scope scope;
    scope.go([&] {
      while (!stop) {
        mutex.lock();
        rt::sleep_for(100us);
        mutex.unlock();
      }
    });
    scope.go([&] {
      for (int i = 0; i < 10; ++i) {
        rt::sleep_for(100us);
        mutex.lock();
        mutex.unlock();
      }
      stop = true;
    });
    EXPECT_TRUE(scope.wait_for(10s)) << "it did not get it ten times in ten seconds";
    stop = true;
  });
}

// Given back and asked for again at once: it has gone to the one that waited.
TEST_P(conformance_locks, b059_a_released_unit_goes_to_the_waiter_and_is_not_grabbed_again) {
  run([] {
    rt::semaphore unit(1);
    std::atomic<int> got{0};
    const int rounds = scaled(2000);
    unit.acquire();
    for (int round = 0; round < rounds; ++round) {
      rt::scope scope;
      scope.go(named("waiter"), [&] {
        unit.acquire();
        ++got;
        unit.release();
      });
      if (round < 20) {
        ASSERT_TRUE(come_to_wait("waiter", "semacquire"));
        unit.release();
        if (unit.try_acquire()) {
          EXPECT_EQ(got, round + 1) << "grabbed from a waiter that has not had it and given it back meanwhile";
          unit.release();
        }
        unit.acquire();
        scope.wait();
      } else {
        // In a hurry: whether the waiter waits already or comes when the unit is free, it gets it.
        rt::yield();
        unit.release();
        scope.wait();
        unit.acquire();
      }
    }
    EXPECT_EQ(got, rounds);
    unit.release();
    EXPECT_EQ(unit.available(), 1);
  });
}

TEST_P(conformance_locks, b060_readers_are_inside_together) {
  run([] {
    rt::shared_mutex mutex;
    constexpr int readers = 10;
    std::atomic<int> inside{0};
    rt::scope scope;
    for (int i = 0; i < readers; ++i) {
      scope.go([&] {
        std::shared_lock lock(mutex);
        ++inside;
        while (inside < readers) rt::yield();  // all of them, or for ever
      });
    }
    scope.wait();
    EXPECT_EQ(inside, readers);
  });
}

TEST_P(conformance_locks, b060_a_writer_excludes_everybody) {
  run([] {
    rt::shared_mutex mutex;
    std::atomic<int> activity{0};  // readers count one, writers ten thousand
    rt::wait_group group;
    for (int w = 0; w < 2; ++w) {
      group.go([&] {
        for (int i = 0; i < scaled(1000); ++i) {
          std::unique_lock lock(mutex);
          ASSERT_EQ(activity += 10'000, 10'000);
          if (i % 8 == 0) rt::yield();
          activity -= 10'000;
        }
      });
    }
    for (int r = 0; r < 10; ++r) {
      group.go([&] {
        for (int i = 0; i < scaled(1000); ++i) {
          std::shared_lock lock(mutex);
          const int now = ++activity;
          ASSERT_GE(now, 1);
          ASSERT_LE(now, 10);
          if (i % 8 == 0) rt::yield();
          --activity;
        }
      });
    }
    group.wait();
    EXPECT_EQ(activity, 0);
    EXPECT_TRUE(mutex.try_lock());
  });
}

TEST_P(conformance_locks, b060_a_writer_that_waits_holds_new_readers_back) {
  run([] {
    rt::shared_mutex mutex;
    mutex.lock_shared();
    std::atomic<int> order{0};
    rt::scope scope;
    scope.go(named("writer"), [&] {
      std::unique_lock lock(mutex);
      EXPECT_EQ(++order, 1);
    });
    ASSERT_TRUE(come_to_wait("writer", "sync.RWMutex.Lock"));
    EXPECT_FALSE(mutex.try_lock_shared());
    scope.go([&] {
      std::shared_lock lock(mutex);
      EXPECT_EQ(++order, 2);
    });
    rt::yield();
    mutex.unlock_shared();
    scope.wait();
    EXPECT_EQ(order, 2);
  });
}

TEST(conformance_locks_misuse, b060_unlocking_what_is_not_locked_has_its_own_reports) {
  rt_test::prepare_death_test();
  EXPECT_DEATH(
      {
        rt::shared_mutex mutex;
        mutex.unlock();
      },
      "rt::shared_mutex::unlock: ");
  EXPECT_DEATH(
      {
        rt::shared_mutex mutex;
        mutex.unlock_shared();
      },
      "rt::shared_mutex::unlock_shared: ");
  EXPECT_DEATH(
      {
        rt::shared_mutex mutex;
        mutex.lock_shared();
        mutex.unlock();
      },
      "rt::shared_mutex::unlock: ");
}

TEST(conformance_locks_misuse, b061_a_negative_counter_is_reported) {
  rt_test::prepare_death_test();
  EXPECT_DEATH(
      {
        rt::wait_group group;
        group.add(2);
        group.add(-3);
      },
      "rt::wait_group: the counter became negative");
}

TEST(conformance_locks_misuse, b061_an_exception_in_go_is_not_swallowed) {
  rt_test::prepare_death_test();
  EXPECT_DEATH(rt::run([] {
                 rt::wait_group group;
                 group.go([] { throw std::runtime_error("out of the group"); });
                 group.wait();
                 rt::sleep_for(30s);
                 return 0;
               }),
               "an exception left green thread .*runtime_error: out of the group");
}

TEST_P(conformance_locks, b061_go_counts_and_waiters_see_zero) {
  run([] {
    rt::wait_group group;
    for (int round = 0; round < scaled(200); ++round) {
      std::atomic<int> done{0};
      rt::wait_group waiters;
      for (int i = 0; i < 20; ++i) {
        group.go([&done, i] {
          if (i % 4 == 0) rt::yield();
          ++done;
        });
      }
      for (int w = 0; w < 4; ++w) {
        waiters.go([&] {
          group.wait();
          EXPECT_EQ(done, 20);
        });
      }
      group.wait();
      EXPECT_EQ(done, 20);
      waiters.wait();
    }
  });
}

// Go reports an add that meets a wait at zero, and a reuse before all waits have returned. Here both are allowed: a
// wait returns at some zero at or after its call.
TEST_P(conformance_locks, b061_adding_beside_waiting_at_zero_loses_nobody) {
  run([] {
    rt::wait_group group;
    std::atomic<bool> stop{false};
    std::atomic<long> waits{0};
    rt::scope scope;
    for (int w = 0; w < 4; ++w) {
      scope.go([&] {
        while (!stop) {
          group.wait();
          ++waits;
          rt::yield();
        }
      });
    }
    for (int i = 0; i < scaled(20'000); ++i) {
      group.add(1);
      if (i % 3 == 0) rt::yield();
      group.done();
      if (i % 5 == 0) rt::yield();
    }
    stop = true;
    scope.wait();
    EXPECT_GT(waits, 0);
  });
}

TEST_P(conformance_locks, b062_a_notification_wakes_exactly_one) {
  run([] {
    constexpr int count = 10;
    rt::mutex mutex;
    rt::condition condition;
    int awake = 0;
    rt::scope scope;
    for (int i = 0; i < count; ++i) {
      scope.go(named("waiter"), [&] {
        std::unique_lock lock(mutex);
        condition.wait(lock);
        ++awake;
      });
    }
    ASSERT_TRUE(come_to_wait("waiter", "sync.Cond.Wait", count));
    for (int i = 1; i <= count; ++i) {
      condition.notify_one();
      ASSERT_TRUE(come_to_wait("waiter", "sync.Cond.Wait", static_cast<std::size_t>(count - i)));
      ASSERT_TRUE(eventually([&] {
        std::unique_lock lock(mutex);
        return awake == i;
      }));
      rt::yield();
      std::unique_lock lock(mutex);
      EXPECT_EQ(awake, i);
    }
    condition.notify_one();  // nobody is there, and it is not kept
    scope.wait();
    std::unique_lock lock(mutex);
    EXPECT_FALSE(condition.wait_for(lock, 1ms));
  });
}

TEST_P(conformance_locks, b062_notifying_all_wakes_all_of_its_generation_only) {
  run([] {
    constexpr int count = 50;
    rt::mutex mutex;
    rt::condition condition;
    std::array<int, count> generation{};
    bool over = false;
    rt::scope scope;
    for (std::size_t i = 0; i < count; ++i) {
      scope.go(named("waiter"), [&, i] {
        std::unique_lock lock(mutex);
        while (!over) {
          condition.wait(lock);
          ++generation[i];
        }
      });
    }
    ASSERT_TRUE(come_to_wait("waiter", "sync.Cond.Wait", count));
    for (int round = 1; round <= 20; ++round) {
      // Not by its state: one that is notified while it is still on its way off its CPU looks as if it waited until it
      // has got there. Who has counted the last round, and left the mutex since, waits.
      ASSERT_TRUE(eventually([&] {
        std::unique_lock lock(mutex);
        return std::count(generation.begin(), generation.end(), round - 1) == count;
      }));
      std::unique_lock lock(mutex);
      for (int one : generation) EXPECT_EQ(one, round - 1);
      over = round == 20;
      condition.notify_all();
    }
    scope.wait();
    for (int one : generation) EXPECT_EQ(one, 20);
  });
}

// The first waiter is there when all are notified; one that comes at the same time must not take its wake-up.
TEST_P(conformance_locks, b062_a_later_waiter_does_not_steal_a_notification) {
  run([] {
    for (int round = 0; round < scaled(1000); ++round) {
      rt::mutex mutex;
      rt::condition condition;
      rt::chan<int> told;
      bool done = false;
      rt::scope scope;
      scope.go([&] {
        std::unique_lock lock(mutex);
        told.send(1);
        condition.wait(lock);
        lock.unlock();
        told.send(2);
      });
      told.recv();
      mutex.lock();
      mutex.unlock();
      scope.go([&] { condition.notify_all(); });
      scope.go([&] {
        std::unique_lock lock(mutex);
        while (!done) condition.wait(lock);
      });
      ASSERT_EQ(told.recv_for(30s), 2) << "round " << round;
      {
        std::unique_lock lock(mutex);
        done = true;
      }
      condition.notify_all();
      scope.wait();
    }
  });
}

// Go finds copies at run time.
static_assert(!std::is_copy_constructible_v<rt::condition> && !std::is_copy_assignable_v<rt::condition>);
static_assert(!std::is_copy_constructible_v<rt::mutex> && !std::is_copy_constructible_v<rt::wait_group>);

TEST_P(conformance_locks, b063_once_runs_once_also_if_its_function_throws) {
  run([] {
    for (int round = 0; round < scaled(300); ++round) {
      rt::once once;
      std::atomic<int> ran{0};
      std::atomic<int> threw{0};
      const bool fails = round % 2 == 1;
      rt::wait_group group;
      for (int i = 0; i < 10; ++i) {
        group.go([&] {
          try {
            once.call([&] {
              rt::yield();
              ++ran;
              if (fails) throw std::runtime_error("failed");
            });
          } catch (const std::runtime_error&) {
            ++threw;
          }
          EXPECT_EQ(ran, 1) << "a call returned before the function had run";
        });
      }
      group.wait();
      EXPECT_EQ(ran, 1);
      EXPECT_EQ(threw, fails ? 1 : 0);
    }
  });
}

TEST_P(conformance_locks, b063_a_once_function_throws_the_same_exception_at_every_call) {
  run([] {
    std::atomic<int> ran{0};
    auto fails = rt::once_function([&] {
      ++ran;
      throw std::runtime_error("the one failure");
    });
    std::vector<const std::exception*> caught(10);
    rt::wait_group group;
    for (auto& mine : caught) {
      group.go([&fails, &mine] {
        try {
          fails();
        } catch (const std::exception& error) {
          EXPECT_STREQ(error.what(), "the one failure");
          mine = &error;
        }
      });
    }
    group.wait();
    EXPECT_EQ(ran, 1);
    for (const std::exception* one : caught) EXPECT_EQ(one, caught.front());
    EXPECT_NE(caught.front(), nullptr);

    auto value = rt::once_value([&] { return ++ran; });
    EXPECT_EQ(value(), 2);
    EXPECT_EQ(&value(), &value());
    EXPECT_EQ(ran, 2);
  });
}

TEST_P(conformance_locks, b063_a_once_function_drops_what_it_has_captured) {
  run([] {
    auto captured = std::make_shared<int>(5);
    std::weak_ptr<int> watch = captured;
    auto once = rt::once_value([held = std::move(captured)] { return *held + 1; });
    EXPECT_FALSE(watch.expired());
    EXPECT_EQ(once(), 6);
    EXPECT_TRUE(watch.expired());
    EXPECT_EQ(once(), 6);
  });
}

struct pooled {
  static inline std::atomic<int> alive{0};
  static inline std::atomic<int> made{0};
  std::atomic<int> users{0};
  pooled() {
    ++alive;
    ++made;
  }
  ~pooled() { --alive; }
  pooled(const pooled&) = delete;
  pooled& operator=(const pooled&) = delete;
};

TEST_P(conformance_locks, b064_a_pool_survives_one_collection_and_is_empty_after_two) {
  run([] {
    pooled::made = 0;
    rt::pool<pooled> pool;
    for (int i = 0; i < 100; ++i) pool.put(std::make_unique<pooled>());
    EXPECT_EQ(pooled::alive, 100);
    rt::release_memory();
    EXPECT_EQ(pooled::alive, 100);
    {
      std::vector<std::unique_ptr<pooled>> taken;
      for (int i = 0; i < 100; ++i) taken.push_back(pool.get());
      EXPECT_EQ(pooled::made, 100) << "what survived was not given out";
      for (auto& one : taken) pool.put(std::move(one));
    }
    rt::release_memory();
    rt::release_memory();
    EXPECT_EQ(pooled::alive, 0);
    auto fresh = pool.get();
    EXPECT_EQ(pooled::made, 101);
  });
  EXPECT_EQ(pooled::alive, 0);
}

TEST_P(conformance_locks, b064_an_object_of_a_pool_has_one_user_at_a_time) {
  run([] {
    rt::pool<pooled> pool;
    rt::wait_group group;
    for (int g = 0; g < 10; ++g) {
      group.go([&] {
        for (int i = 0; i < scaled(5000); ++i) {
          std::unique_ptr<pooled> mine = pool.get();
          ASSERT_EQ(++mine->users, 1);
          if (i % 16 == 0) rt::yield();
          if (i % 1024 == 0) rt::release_memory();
          --mine->users;
          if (i % 64 != 0) pool.put(std::move(mine));
        }
      });
    }
    group.wait();
  });
  EXPECT_EQ(pooled::alive, 0);
}

// The language's atomics, on green threads that change their kernel thread.
TEST_P(conformance_locks, b066_sequential_consistency_of_stores_and_loads) {
  run([] {
    std::atomic<int> x{0};
    std::atomic<int> y{0};
    int saw_y = 0;
    int saw_x = 0;
    int both_missed = 0;
    race(
        scaled(50'000),
        [&](int round) {
          both_missed += round > 1 && saw_x == 0 && saw_y == 0 ? 1 : 0;
          x = 0;
          y = 0;
        },
        [&](int) {
          x = 1;
          saw_y = y;
        },
        [&](int) {
          y = 1;
          saw_x = x;
        });
    EXPECT_EQ(both_missed, 0);
  });
}

TEST_P(conformance_locks, b066_what_was_written_before_a_release_is_seen) {
  run([] {
    std::array<std::uint64_t, 16> data{};
    std::atomic<std::uint64_t> published{0};
    race(
        scaled(20'000), [](int) {},
        [&](int round) {
          while (published.load(std::memory_order_acquire) < static_cast<std::uint64_t>(round)) rt::yield();
          for (std::uint64_t word : data) EXPECT_EQ(word, static_cast<std::uint64_t>(round));
        },
        [&](int round) {
          data.fill(static_cast<std::uint64_t>(round));
          published.store(static_cast<std::uint64_t>(round), std::memory_order_release);
        });
  });
}

template <class Word>
void expect_no_lost_update() {
  constexpr int bits = sizeof(Word) * 8;
  struct neighbours {
    std::atomic<Word> before{0};
    std::atomic<Word> sum{0};
    std::atomic<Word> flags{0};
    std::atomic<Word> after{0};
  } words;
  const int each = scaled(20'000);
  rt::wait_group group;
  for (int bit = 0; bit < 8; ++bit) {
    group.go([&, bit] {
      const auto mine = static_cast<Word>(Word{1} << (bit * bits / 8));
      for (int i = 0; i < each; ++i) {
        words.sum += Word{1};
        ASSERT_EQ(words.flags.fetch_or(mine) & mine, 0);
        if (i % 64 == 0) rt::yield();
        ASSERT_EQ(words.flags.fetch_and(static_cast<Word>(~mine)) & mine, mine);
      }
    });
  }
  group.wait();
  EXPECT_EQ(words.sum, static_cast<Word>(8 * each));
  EXPECT_EQ(words.flags, 0);
  EXPECT_EQ(words.before, 0);
  EXPECT_EQ(words.after, 0);
  EXPECT_TRUE(std::atomic<Word>::is_always_lock_free);
}

TEST_P(conformance_locks, b066_contended_words_of_all_widths) {
  run([] {
    expect_no_lost_update<std::uint8_t>();
    expect_no_lost_update<std::uint16_t>();
    expect_no_lost_update<std::uint32_t>();
    expect_no_lost_update<std::uint64_t>();
  });
}

}  // namespace
