#include "rt/pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <set>
#include <thread>

#include "rt/rt.h"
#include "tests/runtime/in_runtime.h"

namespace {

using rt_test::scaled;
RT_ON_PROCS(pools);
RT_ON_PROCS(sharded_counters);

std::atomic<int> alive{0};
struct thing {
  thing() { ++alive; }
  thing(const thing&) = delete;
  thing& operator=(const thing&) = delete;
  ~thing() { --alive; }
  int value = 0;
};

TEST_P(pools, give_back_what_was_put) {
  run([] {
    rt::pool<thing> pool;
    std::unique_ptr<thing> one = pool.get();
    one->value = 5;
    thing* address = one.get();
    pool.put(std::move(one));
    pool.put(nullptr);
    one = pool.get();
    EXPECT_EQ(one.get(), address);
    EXPECT_EQ(one->value, 5) << "as it was put";
    EXPECT_NE(pool.get().get(), nullptr);
  });
  EXPECT_EQ(alive.load(), 0);
}

TEST_P(pools, make_by_a_function) {
  run([] {
    int made = 0;
    rt::pool<int> pool([&] { return std::make_unique<int>(++made); });
    std::unique_ptr<int> one = pool.get();
    EXPECT_EQ(*one, 1);
    EXPECT_EQ(*pool.get(), 2);
    pool.put(std::move(one));
    EXPECT_EQ(*pool.get(), 1);
  });
}

TEST_P(pools, what_nobody_uses_for_two_collections_is_dropped) {
  run([] {
    rt::pool<thing> pool;
    std::vector<std::unique_ptr<thing>> many;
    for (int i = 0; i < 100; ++i) many.push_back(pool.get());
    for (auto& one : many) pool.put(std::move(one));
    EXPECT_EQ(alive.load(), 100);
    rt::release_memory();
    EXPECT_EQ(alive.load(), 100);
    for (int i = 0; i < 3; ++i) pool.put(pool.get());  // in use again
    rt::release_memory();
    EXPECT_GE(alive.load(), 1);
    EXPECT_LE(alive.load(), 3);
    rt::release_memory();
    EXPECT_EQ(alive.load(), 0);
    EXPECT_NE(pool.get(), nullptr);
  });
}

TEST_P(pools, never_give_one_thing_to_two) {
  run([] {
    rt::pool<thing> pool;
    std::atomic<bool> stop{false};
    std::thread collector([&] {
      while (!stop) rt::release_memory();
    });
    rt::wait_group all;
    for (int i = 0; i < 8; ++i) {
      all.go([&] {
        for (int j = 0; j < scaled(2000); ++j) {
          std::unique_ptr<thing> one = pool.get();
          std::unique_ptr<thing> other = pool.get();
          EXPECT_EQ(one->value++, 0);
          EXPECT_EQ(other->value++, 0);
          if (j % 16 == 0) rt::yield();
          --one->value;
          --other->value;
          pool.put(std::move(one));
          pool.put(std::move(other));
        }
      });
    }
    all.wait();
    stop = true;
    collector.join();
  });
  EXPECT_EQ(alive.load(), 0);
}

TEST_P(pools, end_while_memory_is_released) {
  run([] {
    std::atomic<bool> stop{false};
    std::thread collector([&] {
      while (!stop) rt::release_memory();
    });
    rt::wait_group all;
    for (int i = 0; i < 4; ++i) {
      all.go([&] {
        for (int j = 0; j < scaled(300); ++j) {
          rt::pool<thing> pool;
          pool.put(pool.get());
          if (j % 8 == 0) rt::yield();
        }
      });
    }
    all.wait();
    stop = true;
    collector.join();
    EXPECT_EQ(alive.load(), 0);
  });
}

TEST_P(sharded_counters, are_exact_when_all_have_added) {
  run([] {
    rt::sharded_counter counter;
    rt::wait_group all;
    for (int i = 0; i < 16; ++i) {
      all.go([&] {
        for (int j = 0; j < scaled(10'000); ++j) {
          counter.add(3);
          if (j % 64 == 0) rt::yield();
          counter.add(-2);
        }
      });
    }
    all.wait();
    EXPECT_EQ(counter.value(), 16L * scaled(10'000));
    std::thread([&] { counter.add(-5); }).join();
    EXPECT_EQ(counter.value(), 16L * scaled(10'000) - 5);
  });
}

}  // namespace
