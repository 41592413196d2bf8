// A soak: green threads that compute without calls, block without notice, spawn, talk over channels, sleep, arm timers,
// lock threads, throw, get cancelled, while the number of Ps changes. At the end every account must be balanced.
//
//   RT_SOAK_SECONDS=1800 RT_SOAK_SEED=42 build/release/tests/runtime/soak/soak_test
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <vector>

#include "rt/rt.h"
#include "tests/runtime/in_runtime.h"

namespace {

using namespace std::chrono_literals;

std::uint64_t number_from_environment(const char* name, std::uint64_t fallback) {
  const char* text = std::getenv(name);
  return text == nullptr || *text == '\0' ? fallback : std::strtoull(text, nullptr, 10);
}

// What the actors share. All of it is balanced when they have ended.
struct world {
  std::atomic<bool> stop{false};
  std::atomic<long> begun{0};
  std::atomic<long> ended{0};
  rt::chan<long> pipe{16};
  std::atomic<long> sent{0};
  std::atomic<long> received{0};
  rt::chan<long> direct;
  std::mutex system_mutex;
  long under_system_mutex = 0;
  std::atomic<long> system_rounds{0};
  rt::mutex mutex;
  long under_mutex = 0;
  std::atomic<long> mutex_rounds{0};
  std::atomic<long> fired{0};
  std::atomic<long> stopped_in_time{0};
  std::atomic<long> armed{0};
  std::atomic<long> thrown{0};
  std::atomic<long> caught{0};
  std::atomic<long> coroutines_begun{0};
  std::atomic<long> coroutines_ended{0};
  int ends[2] = {-1, -1};
};

// Without a call of the runtime, for about this many microseconds.
void compute(std::uint64_t microseconds) {
  for (std::uint64_t i = 0; i < microseconds * 500; ++i) asm volatile("" ::: "memory");
}

struct counted_coroutine {
  explicit counted_coroutine(world& all) : ended(all.coroutines_ended) { ++all.coroutines_begun; }
  counted_coroutine(const counted_coroutine&) = delete;
  counted_coroutine& operator=(const counted_coroutine&) = delete;
  ~counted_coroutine() { ++ended; }
  std::atomic<long>& ended;
};

struct torn {};

// Waits in all the ways of a coroutine, and calls others; how many there were. Some throw what their callers catch.
rt::coroutine<long> branch(world& all, std::uint64_t seed, int depth) {
  counted_coroutine counted(all);
  std::mt19937_64 random(seed);
  long sum = 1;
  for (std::uint64_t i = random() % 4; i > 0; --i) {
    switch (random() % 9) {
      case 0:
        co_await rt::async_sleep_for(std::chrono::microseconds(random() % 1000));
        break;
      case 1:
        co_await rt::async_yield();
        break;
      case 2:
        compute(random() % 2000);
        break;
      case 3:
        rt::sleep_for(std::chrono::microseconds(random() % 500));  // on its carrier's stack
        break;
      case 4: {
        std::lock_guard guard(all.mutex);
        ++all.under_mutex;
        ++all.mutex_rounds;
        break;
      }
      case 5:
        if (std::optional<long> value = co_await rt::async_recv_for(all.pipe, 500us)) all.received += *value;
        break;
      case 6:
        if (all.pipe.try_send(1L)) ++all.sent;
        break;
      case 7:
        if (depth > 0) {
          try {
            sum += co_await branch(all, random(), depth - 1);
          } catch (const torn&) {
            ++sum;
          }
        }
        break;
      default:
        if (depth < 3 && random() % 4 == 0) throw torn();
        break;
    }
  }
  co_return sum;
}

rt::coroutine<> root(world& all, std::uint64_t seed, rt::chan<long> result) {
  counted_coroutine counted(all);
  long sum = co_await branch(all, seed, 3);
  co_await rt::async_send(result, sum);
}

class actor {
 public:
  actor(world& all, std::uint64_t seed) : world_(all), random_(seed) { ++world_.begun; }
  actor(const actor&) = delete;
  actor& operator=(const actor&) = delete;
  ~actor() { ++world_.ended; }

  void run() {
    while (!world_.stop) step();
  }

 private:
  std::uint64_t below(std::uint64_t limit) { return random_() % limit; }

  void step() {
    switch (below(15)) {
      case 0:
        return compute(below(20'000));
      case 1:
        return compute(below(200));
      case 2:
        return rt::sleep_for(std::chrono::microseconds(below(3000)));
      case 3:
        usleep(static_cast<unsigned>(below(4000)));
        return;
      case 4:
        return rt::blocking([&] { usleep(static_cast<unsigned>(below(2000))); });
      case 5:
        return through_the_buffer();
      case 6:
        return hand_over();
      case 7:
        return with_the_systems_mutex();
      case 8:
        return with_the_mutex();
      case 9:
        return timer();
      case 10:
        return tree(static_cast<int>(below(4)));
      case 11:
        return allocate();
      case 12:
        return fail();
      case 13:
        return coroutines();
      default:
        return kernel_things();
    }
  }

  void through_the_buffer() {
    if (below(2) == 0) {
      long value = static_cast<long>(below(1000));
      if (world_.pipe.send_for(long{value}, 1ms)) world_.sent += value;
    } else if (std::optional<long> value = world_.pipe.recv_for(1ms)) {
      world_.received += *value;
    }
  }

  void hand_over() {
    long value = static_cast<long>(below(1000));
    rt::select(rt::on_recv(world_.direct, [&](std::optional<long> got) { world_.received += *got; }),
               rt::on_send(world_.direct, value, [&] { world_.sent += value; }), rt::after(1ms, [] {}));
  }

  void with_the_systems_mutex() {
    std::lock_guard guard(world_.system_mutex);
    long before = world_.under_system_mutex;
    compute(below(300));  // likely to be frozen here, sooner or later
    world_.under_system_mutex = before + 1;
    ++world_.system_rounds;
  }

  void with_the_mutex() {
    std::lock_guard guard(world_.mutex);
    long before = world_.under_mutex;
    if (below(4) == 0) rt::yield();
    compute(below(300));
    world_.under_mutex = before + 1;
    ++world_.mutex_rounds;
  }

  void timer() {
    ++world_.armed;
    rt::timer one(std::chrono::microseconds(below(1000)));
    rt::sleep_for(std::chrono::microseconds(below(1000)));
    if (one.stop()) {
      ++world_.stopped_in_time;
      EXPECT_FALSE(one.channel().try_recv()) << "a stale tick";
    } else {
      ++world_.fired;
    }
  }

  void tree(int depth) {
    rt::scope scope;
    std::atomic<int> leaves{0};
    bool cut = below(3) == 0;
    for (std::uint64_t i = 0, count = below(6); i < count; ++i) {
      scope.go([this, depth, &leaves, seed = random_()] {
        actor child(world_, seed);
        if (depth > 0) {
          child.tree(depth - 1);
        } else {
          compute(child.below(200));
          rt::yield();
        }
        ++leaves;
      });
    }
    if (cut) scope.cancel();
    scope.wait();
  }

  void allocate() {
    std::vector<std::unique_ptr<char[]>> held;
    for (int i = 0; i < 50; ++i) {
      std::size_t size = 1 + below(20'000);
      held.push_back(std::make_unique<char[]>(size));
      std::memset(held.back().get(), i, size);
    }
    for (std::size_t i = 0; i < held.size(); ++i) ASSERT_EQ(held[i][0], static_cast<char>(i));
  }

  void fail() {
    ++world_.thrown;
    try {
      throw std::runtime_error(std::to_string(below(100)));
    } catch (const std::runtime_error& error) {
      std::string text = error.what();
      if (below(2) == 0) {
        rt::sleep_for(100us);  // parks in a handler, and goes on with another thread
      } else {
        compute(below(2000));
      }
      ASSERT_EQ(text, error.what());
      ++world_.caught;
    }
  }

  void coroutines() {
    const std::uint64_t count = below(8);
    rt::chan<long> results(count);
    for (std::uint64_t i = 0; i < count; ++i) rt::go(root(world_, random_(), results));
    for (std::uint64_t i = 0; i < count; ++i) EXPECT_GE(results.recv().value_or(0), 1);
  }

  void kernel_things() {
    switch (below(4)) {
      case 0: {
        rt::lock_os_thread();
        pid_t mine = gettid();
        rt::sleep_for(std::chrono::microseconds(below(500)));
        compute(below(500));
        EXPECT_EQ(gettid(), mine);
        rt::unlock_os_thread();
        return;
      }
      case 1: {
        char byte = 'x';
        ASSERT_EQ(write(world_.ends[1], &byte, 1), 1);
        ASSERT_EQ(read(world_.ends[0], &byte, 1), 1);
        return;
      }
      case 2:
        if (below(20) == 0) rt::max_procs(1 + static_cast<int>(below(6)));
        return;
      default:
        static_cast<void>(rt::read_stats());
        if (below(50) == 0) {
          ASSERT_FALSE(rt::all_stacks(20).empty());
        }
        return;
    }
  }

  world& world_;
  std::mt19937_64 random_;
};

TEST(soak, everything_at_once_balances) {
  std::uint64_t seconds = number_from_environment("RT_SOAK_SECONDS", 5);
  std::uint64_t seed = number_from_environment("RT_SOAK_SEED", std::random_device{}());
  std::printf("RT_SOAK_SECONDS=%lu RT_SOAK_SEED=%lu\n", static_cast<unsigned long>(seconds),
              static_cast<unsigned long>(seed));
  std::fflush(stdout);
  world all;
  ASSERT_EQ(pipe(all.ends), 0);
  rt::run_options options;
  options.max_procs = 3;
  rt::run(
      [&] {
        constexpr int actors = 60;
        rt::wait_group group;
        for (int i = 0; i < actors; ++i) {
          group.go([&all, own = seed * 1000 + static_cast<std::uint64_t>(i)] { actor(all, own).run(); });
        }
        // A watcher that needs a P every millisecond: the longest that it had to wait is told, not judged.
        auto until = rt::now() + std::chrono::seconds(seconds);
        rt::duration longest{0};
        while (rt::now() < until) {
          auto before = rt::now();
          rt::sleep_for(1ms);
          longest = std::max(longest, rt::now() - before - 1ms);
        }
        all.stop = true;
        group.wait();
        while (std::optional<long> left = all.pipe.try_recv()) all.received += *left;
        EXPECT_EQ(all.sent, all.received);
        EXPECT_EQ(all.begun, all.ended);
        EXPECT_EQ(all.under_system_mutex, all.system_rounds.load());
        EXPECT_EQ(all.under_mutex, all.mutex_rounds.load());
        EXPECT_EQ(all.armed, all.fired + all.stopped_in_time);
        EXPECT_EQ(all.thrown, all.caught);
        EXPECT_TRUE(rt_test::eventually([&] { return all.coroutines_begun == all.coroutines_ended; }));
        EXPECT_TRUE(rt_test::eventually([] {
          rt::runtime_stats now = rt::read_stats();
          return now.green_threads == 1 && now.blocking == 0 && now.threads_frozen == 0 && now.runnable == 0;
        }));
        rt::runtime_stats stats = rt::read_stats();
        EXPECT_LE(stats.timers, 1U);
        std::printf(
            "green threads %lu, switches %lu, preempt signals %lu, freezes %lu, retakes %lu, handoffs %lu, steals %lu, "
            "stops %lu, threads made %lu, ended %lu; the watcher waited %.1f ms at the longest\n",
            static_cast<unsigned long>(stats.created_total), static_cast<unsigned long>(stats.switches_total),
            static_cast<unsigned long>(stats.preempt_signals_total), static_cast<unsigned long>(stats.freezes_total),
            static_cast<unsigned long>(stats.retakes_total), static_cast<unsigned long>(stats.handoffs_total),
            static_cast<unsigned long>(stats.steals_total), static_cast<unsigned long>(stats.stop_the_world_total),
            static_cast<unsigned long>(stats.threads_created_total),
            static_cast<unsigned long>(stats.threads_ended_total), static_cast<double>(longest.count()) * 1e-6);
        return 0;
      },
      options);
  close(all.ends[0]);
  close(all.ends[1]);
}

}  // namespace
