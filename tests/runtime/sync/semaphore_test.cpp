#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <vector>

#include "rt/rt.h"
#include "tests/runtime/in_runtime.h"
#include "tests/runtime/seeds.h"
#include "tests/runtime/waiting.h"

namespace {

using namespace std::chrono_literals;
using rt_test::come_to_wait_in;
using rt_test::scaled;
RT_ON_PROCS(semaphores);

TEST_P(semaphores, count_units) {
  run([] {
    rt::semaphore units(5);
    EXPECT_EQ(units.size(), 5);
    units.acquire(3);
    EXPECT_EQ(units.available(), 2);
    EXPECT_FALSE(units.try_acquire(3));
    EXPECT_TRUE(units.try_acquire(2));
    EXPECT_TRUE(units.try_acquire(0));
    EXPECT_FALSE(units.try_acquire());
    EXPECT_FALSE(units.try_acquire_for(1ms));
    units.release(5);
    EXPECT_EQ(units.available(), 5);
  });
}

TEST_P(semaphores, serve_in_order_and_let_nobody_overtake) {
  run([] {
    rt::semaphore units(4);
    units.acquire(3);
    std::vector<int> order;
    rt::wait_group all;
    all.go([&] {
      units.acquire(4);
      order.push_back(4);
      units.release(4);
    });
    EXPECT_TRUE(come_to_wait_in("semacquire", 1));
    EXPECT_FALSE(units.try_acquire(1)) << "one unit is there, but somebody waits";
    all.go([&] {
      units.acquire(1);
      order.push_back(1);
      units.release(1);
    });
    EXPECT_TRUE(come_to_wait_in("semacquire", 2));
    units.release(3);
    all.wait();
    EXPECT_EQ(order, (std::vector<int>{4, 1}));
    EXPECT_EQ(units.available(), 4);
  });
}

TEST_P(semaphores, one_that_gives_up_makes_way_for_those_behind) {
  run([] {
    rt::semaphore units(4);
    units.acquire(2);
    rt::cancellable_context work = rt::with_cancel(rt::background());
    rt::wait_group all;
    all.go([&] { EXPECT_THROW(units.acquire(work, 4), rt::context_error); });
    EXPECT_TRUE(come_to_wait_in("semacquire", 1));
    rt::wait_group small;
    for (int i = 0; i < 2; ++i) small.go([&] { units.acquire(1); });
    EXPECT_TRUE(come_to_wait_in("semacquire", 3));
    work.cancel();
    small.wait();
    all.wait();
    EXPECT_EQ(units.available(), 0);
    units.release(4);
  });
}

TEST_P(semaphores, refuse_what_can_never_be_had) {
  run([] {
    rt::semaphore units(2);
    EXPECT_THROW(units.acquire(3), rt::usage_error);
    EXPECT_THROW(units.acquire(-1), rt::usage_error);
    EXPECT_THROW(units.try_acquire(3), rt::usage_error);
    EXPECT_THROW(rt::semaphore(-1), rt::usage_error);
    EXPECT_THROW(rt::semaphore(INT64_MAX), rt::usage_error);
    rt::semaphore none(0);
    EXPECT_TRUE(none.try_acquire(0));
  });
}

TEST_P(semaphores, cancel_against_release) {
  rt_test::seeds seeds;
  run([&] {
    constexpr std::int64_t size = 5;
    rt::semaphore units(size);
    std::atomic<std::int64_t> taken{0};
    std::atomic<int> had{0};
    rt::wait_group all;
    for (unsigned i = 0; i < 12; ++i) {
      all.go([&, random = seeds.source(i)]() mutable {
        for (int j = 0; j < scaled(2000); ++j) {
          std::int64_t mine = random() % (size + 1);
          auto length = std::chrono::microseconds(random() % 40);
          bool got = true;
          if (random() % 3 == 0) {
            units.acquire(mine);
          } else if (random() % 2 == 0) {
            got = units.try_acquire_for(length, mine);
          } else {
            rt::cancellable_context work = rt::with_cancel(rt::background());
            rt::timer end(length, [work] { work.cancel(); });
            try {
              units.acquire(work, mine);
            } catch (const rt::context_error&) {
              got = false;
            }
          }
          if (!got) continue;
          ++had;
          EXPECT_LE(taken += mine, size);
          if (j % 4 == 0) rt::yield();
          taken -= mine;
          units.release(mine);
        }
      });
    }
    all.wait();
    EXPECT_GT(had.load(), 0);
    EXPECT_EQ(units.available(), size) << "no unit is lost";
    EXPECT_TRUE(units.try_acquire(size)) << "nobody is left waiting";
  });
}

TEST_P(semaphores, may_be_destroyed_right_after_the_last_release) {
  run([] {
    for (int i = 0; i < scaled(3000); ++i) {
      auto units = std::make_unique<rt::semaphore>(1);
      rt::chan<int> taken;
      rt::chan<int> done;
      rt::go([&, raw = units.get()] {
        raw->acquire();
        taken.send(1);
        raw->release();
        done.send(1);
      });
      taken.recv();
      units->acquire();
      units->release();
      units.reset();
      done.recv();
    }
  });
}

}  // namespace
