#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <vector>

#include "rt/rt.h"
#include "tests/runtime/in_runtime.h"
#include "tests/runtime/seeds.h"
#include "tests/runtime/waiting.h"

namespace {

using namespace std::chrono_literals;
using rt_test::come_to_wait_in;
using rt_test::scaled;
RT_ON_PROCS(shared_mutexes);

TEST_P(shared_mutexes, readers_together_writers_alone) {
  run([] {
    rt::shared_mutex mutex;
    std::shared_lock first(mutex);
    std::shared_lock second(mutex);
    EXPECT_FALSE(mutex.try_lock());
    EXPECT_TRUE(mutex.try_lock_shared());
    mutex.unlock_shared();
    first.unlock();
    second.unlock();
    {
      std::unique_lock writer(mutex);
      EXPECT_FALSE(mutex.try_lock());
      EXPECT_FALSE(mutex.try_lock_shared());
    }
    EXPECT_TRUE(mutex.try_lock());
    mutex.unlock();
  });
}

TEST_P(shared_mutexes, a_waiting_writer_holds_new_readers_back_and_goes_next) {
  run([] {
    rt::shared_mutex mutex;
    std::vector<std::string> order;
    mutex.lock_shared();
    rt::wait_group all;
    all.go([&] {
      std::unique_lock lock(mutex);
      order.emplace_back("writer");
    });
    EXPECT_TRUE(come_to_wait_in("sync.RWMutex.Lock"));
    EXPECT_FALSE(mutex.try_lock_shared());
    all.go([&] {
      std::shared_lock lock(mutex);
      order.emplace_back("reader");
    });
    EXPECT_TRUE(come_to_wait_in("sync.RWMutex.RLock"));
    mutex.unlock_shared();
    all.wait();
    EXPECT_EQ(order, (std::vector<std::string>{"writer", "reader"}));
  });
}

TEST_P(shared_mutexes, all_waiting_readers_go_in_together) {
  run([] {
    rt::shared_mutex mutex;
    mutex.lock();
    std::atomic<int> inside{0};
    rt::chan<int> leave;
    rt::wait_group all;
    auto read = [&] {
      std::shared_lock lock(mutex);
      ++inside;
      leave.recv();
    };
    all.go(read);
    EXPECT_TRUE(come_to_wait_in("sync.RWMutex.RLock", 1));
    all.go([&] { std::unique_lock lock(mutex); });
    EXPECT_TRUE(come_to_wait_in("sync.RWMutex.Lock", 1));
    all.go(read);
    EXPECT_TRUE(come_to_wait_in("sync.RWMutex.RLock", 2));
    mutex.unlock();
    EXPECT_TRUE(rt_test::eventually([&] { return inside == 2; })) << "also those behind a writer";
    leave.close();
    all.wait();
    EXPECT_TRUE(mutex.try_lock());
  });
}

TEST_P(shared_mutexes, a_writer_that_gives_up_lets_the_readers_behind_it_in) {
  run([] {
    rt::shared_mutex mutex;
    mutex.lock_shared();
    rt::cancellable_context work = rt::with_cancel(rt::background());
    rt::wait_group all;
    all.go([&] { EXPECT_THROW(mutex.lock(work), rt::context_error); });
    EXPECT_TRUE(come_to_wait_in("sync.RWMutex.Lock"));
    all.go([&] { std::shared_lock lock(mutex); });
    EXPECT_TRUE(come_to_wait_in("sync.RWMutex.RLock"));
    work.cancel();
    all.wait();
    EXPECT_TRUE(mutex.try_lock_shared());
    mutex.unlock_shared();
    mutex.unlock_shared();
    EXPECT_TRUE(mutex.try_lock());
  });
}

// Readers that overlap for ever do not keep a writer out, nor writers a reader.
TEST_P(shared_mutexes, nobody_starves) {
  run([] {
    rt::shared_mutex mutex;
    std::atomic<bool> stop{false};
    rt::wait_group all;
    for (int i = 0; i < 4; ++i) {
      all.go([&] {
        while (!stop) {
          std::shared_lock lock(mutex);
          rt::sleep_for(100us);
        }
      });
    }
    for (int i = 0; i < 20; ++i) std::unique_lock lock(mutex);
    stop = true;
    all.wait();
    stop = false;
    for (int i = 0; i < 4; ++i) {
      all.go([&] {
        while (!stop) {
          std::unique_lock lock(mutex);
          rt::yield();
        }
      });
    }
    for (int i = 0; i < 20; ++i) std::shared_lock lock(mutex);
    stop = true;
    all.wait();
  });
}

// Writers, readers, timeouts and cancels, with the data watched all the time.
TEST_P(shared_mutexes, storms) {
  rt_test::seeds seeds;
  run([&] {
    rt::shared_mutex mutex;
    std::atomic<int> readers{0};
    int writers = 0;  // guarded by the mutex
    std::atomic<int> had{0};
    rt::wait_group all;
    for (unsigned i = 0; i < 10; ++i) {
      all.go([&, random = seeds.source(i)]() mutable {
        for (int j = 0; j < scaled(2000); ++j) {
          bool writes = random() % 4 == 0;
          bool locked = true;
          auto length = std::chrono::microseconds(random() % 40);
          switch (random() % 3) {
            case 0:
              writes ? mutex.lock() : mutex.lock_shared();
              break;
            case 1:
              locked = writes ? mutex.try_lock_for(length) : mutex.try_lock_shared_for(length);
              break;
            default: {
              rt::cancellable_context work = rt::with_timeout(rt::background(), length);
              try {
                writes ? mutex.lock(work) : mutex.lock_shared(work);
              } catch (const rt::context_error&) {
                locked = false;
              }
            }
          }
          if (!locked) continue;
          ++had;
          if (writes) {
            EXPECT_EQ(++writers, 1);
            EXPECT_EQ(readers.load(), 0);
            if (j % 4 == 0) rt::yield();
            --writers;
            mutex.unlock();
          } else {
            ++readers;
            EXPECT_EQ(writers, 0);
            if (j % 4 == 0) rt::yield();
            --readers;
            mutex.unlock_shared();
          }
        }
      });
    }
    all.wait();
    EXPECT_GT(had.load(), 0);
    EXPECT_TRUE(mutex.try_lock()) << "nobody is left in it";
  });
}

TEST_P(shared_mutexes, may_be_destroyed_right_after_the_last_unlock) {
  run([] {
    for (int i = 0; i < scaled(3000); ++i) {
      auto mutex = std::make_unique<rt::shared_mutex>();
      rt::chan<int> locked;
      rt::chan<int> done;
      bool reads = i % 2 == 0;
      rt::go([&, reads, raw = mutex.get()] {
        reads ? raw->lock_shared() : raw->lock();
        locked.send(1);
        reads ? raw->unlock_shared() : raw->unlock();
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

}  // namespace
