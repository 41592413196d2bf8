#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <new>
#include <thread>
#include <vector>

#include "rt/rt.h"
#include "runtime/sched/green_thread.h"
#include "tests/runtime/in_runtime.h"

namespace {

using namespace std::chrono_literals;
using rt_test::scaled;
RT_ON_PROCS(spawning);

// The pages of a fresh slot serve as a descriptor without a constructor.
TEST(green_thread, has_zero_for_every_initial_value) {
  alignas(rt::detail::green_thread) unsigned char memory[sizeof(rt::detail::green_thread)] = {};
  ::new (static_cast<void*>(memory)) rt::detail::green_thread;
  for (unsigned char byte : memory) ASSERT_EQ(byte, 0);
}

TEST_P(spawning, runs_every_green_thread_once) {
  run([] {
    int count = scaled(50000);
    std::atomic<int> ran{0};
    rt::wait_group group;
    for (int i = 0; i < count; ++i) group.go([&] { ++ran; });
    group.wait();
    EXPECT_EQ(ran.load(), count);
  });
}

TEST_P(spawning, moves_closures_and_arguments_and_destroys_them) {
  run([] {
    auto shared = std::make_shared<int>(5);
    std::weak_ptr<int> watch = shared;
    rt::chan<int> got;
    rt::go([](std::unique_ptr<int> first, int second, std::shared_ptr<int> third,
              rt::chan<int> out) { out.send(*first + second + *third); },
           std::make_unique<int>(1), 2, std::move(shared), got);
    EXPECT_EQ(got.recv(), 8);
    while (!watch.expired()) rt::yield();
  });
}

TEST_P(spawning, closures_of_any_size_and_alignment) {
  run([] {
    struct alignas(128) big {
      char bytes[100000];
    };
    auto data = std::make_unique<big>();
    data->bytes[99999] = 7;
    rt::chan<int> got;
    rt::go(
        [copy = *data, got] { got.send(reinterpret_cast<std::uintptr_t>(&copy) % 128 == 0 ? copy.bytes[99999] : -1); });
    EXPECT_EQ(got.recv(), 7);
  });
}

TEST_P(spawning, a_throwing_copy_starts_nothing) {
  run([] {
    struct throws_on_copy {
      throws_on_copy() = default;
      throws_on_copy(const throws_on_copy&) { throw std::runtime_error("no copy"); }
      void operator()() const { ADD_FAILURE() << "it ran"; }
    };
    throws_on_copy one;
    std::size_t before = rt::num_green_threads();
    EXPECT_THROW(rt::go(one), std::runtime_error);
    EXPECT_EQ(rt::num_green_threads(), before);
  });
}

TEST_P(spawning, from_foreign_threads) {
  run([] {
    std::atomic<int> ran{0};
    rt::wait_group group;
    constexpr int each = 500;
    group.add(4 * each);
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < each; ++i) {
          rt::go([&] {
            ++ran;
            group.done();
          });
        }
      });
    }
    group.wait();
    rt::blocking([&] {
      for (std::thread& one : threads) one.join();
    });
    EXPECT_EQ(ran.load(), 4 * each);
  });
}

TEST_P(spawning, trees_of_green_threads) {
  run([] {
    // Skynet: each of 10^4 leaves (10^3 where the build is slow) sends its number up a tree of channels.
    struct tree {
      static void node(rt::chan<long> up, long first, long size) {
        if (size == 1) {
          up.send(first);
          return;
        }
        rt::chan<long> down(10);
        for (int i = 0; i < 10; ++i) rt::go(&tree::node, down, first + i * (size / 10), size / 10);
        long sum = 0;
        for (int i = 0; i < 10; ++i) sum += *down.recv();
        up.send(sum);
      }
    };
    const long leaves = scaled(10'000);
    rt::chan<long> top;
    rt::go(&tree::node, top, 0, leaves);
    EXPECT_EQ(top.recv(), (leaves - 1) * leaves / 2);
  });
}

TEST_P(spawning, ids_are_unique) {
  run([] {
    rt::chan<std::uint64_t> ids(64);
    constexpr int count = 300;
    for (int i = 0; i < count; ++i) rt::go([=] { ids.send(rt::green_thread_id()); });
    std::vector<std::uint64_t> seen;
    for (int i = 0; i < count; ++i) seen.push_back(*ids.recv());
    std::sort(seen.begin(), seen.end());
    EXPECT_EQ(std::unique(seen.begin(), seen.end()), seen.end());
    EXPECT_GT(seen.front(), 0U);
  });
}

TEST_P(spawning, too_large_a_stack_is_refused) {
  run([] { EXPECT_THROW(rt::go({.stack_size = std::size_t{65} << 20, .name = nullptr}, [] {}), std::system_error); });
}

// Behaviour 5 of the conformance list in spirit: two that wake each other do not starve a third.
TEST_P(spawning, a_pair_in_runnext_does_not_starve_a_third) {
  run([] {
    rt::chan<int> ping;
    rt::chan<int> pong;
    std::atomic<bool> third_ran{false};
    rt::go([=] {
      while (ping.recv()) pong.send(1);
    });
    rt::go([&] { third_ran = true; });
    const std::uint64_t retakes = rt::read_stats().retakes_total;
    const rt::time_point until = rt::now() + 30s;
    int rounds = 0;
    while (!third_ran && rt::now() < until) {
      ping.send(1);
      pong.recv();
      ++rounds;
    }
    EXPECT_TRUE(third_ran);
    // With more Ps, or when the P was taken meanwhile, it may be chosen and wait for a CPU while the pair has one.
    if (GetParam() == 1 && rt::read_stats().retakes_total == retakes) {
      EXPECT_LT(rounds, 10000);
    }
    ping.close();
  });
}

TEST_P(spawning, yielders_do_not_starve_the_global_queue) {
  run([] {
    std::atomic<bool> stop{false};
    rt::wait_group group;
    for (int i = 0; i < 20; ++i) {
      group.go([&] {
        while (!stop) rt::yield();
      });
    }
    std::thread outside([&] { rt::go([&] { stop = true; }); });  // comes by the global queue
    group.wait();
    rt::blocking([&] { outside.join(); });
  });
}

}  // namespace
