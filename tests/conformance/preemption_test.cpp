// Behaviours 31 to 34, 36 and 43: code that makes no calls does not keep its processor.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstring>
#include <functional>
#include <stdexcept>
#include <thread>
#include <vector>

#include "rt/rt.h"
#include "runtime/sched/scheduler.h"
#include "tests/conformance/conformance.h"
#include "tests/runtime/computing.h"

namespace {

using namespace std::chrono_literals;
using namespace conformance;
using rt_test::compute_until;
using rt_test::leave_the_sanitizer;
RT_ON_PROCS(conformance_preemption);

using spinner = std::function<void(const std::atomic<bool>&)>;

// One more than there are Ps spin; whoever is to stop them needs a P.
void expect_to_be_preempted(const spinner& spin) {
  std::atomic<bool> stop{false};
  std::atomic<int> going{0};
  rt::scope scope;
  const int count = rt::max_procs() + 1;
  for (int i = 0; i < count; ++i) {
    scope.go([&] {
      ++going;
      spin(stop);
    });
  }
  EXPECT_TRUE(eventually([&] { return going == count; })) << "some never got a processor";
  for (int i = 0; i < 5; ++i) rt::sleep_for(1ms);
  stop = true;
  scope.wait();
}

__attribute__((noinline)) bool is_set(const std::atomic<bool>& flag) { return flag.load(std::memory_order_relaxed); }

TEST_P(conformance_preemption, b031_a_loop_without_calls) {
  run([] {
    expect_to_be_preempted([](const std::atomic<bool>& stop) {
      while (!stop.load(std::memory_order_relaxed)) leave_the_sanitizer();
    });
  });
}

TEST_P(conformance_preemption, b031_a_loop_that_calls_a_function_without_frame) {
  run([] {
    expect_to_be_preempted([](const std::atomic<bool>& stop) {
      while (!is_set(stop)) leave_the_sanitizer();
    });
  });
}

TEST_P(conformance_preemption, b031_a_loop_of_atomic_operations_only) {
  run([] {
    std::atomic<long> shared{0};
    expect_to_be_preempted([&](const std::atomic<bool>& stop) {
      while (!stop) {
        shared.fetch_add(1);
        long expected = 5;
        shared.compare_exchange_strong(expected, 6);
        leave_the_sanitizer();
      }
    });
  });
}

TEST_P(conformance_preemption, b031_copies_of_memory_and_handlers_of_exceptions) {
  run([] {
    expect_to_be_preempted([](const std::atomic<bool>& stop) {
#if defined(__SANITIZE_THREAD__)
      constexpr std::size_t size = 1 << 10;  // it looks at each word, in code in which nothing is stopped
#else
      constexpr std::size_t size = 1 << 20;
#endif
      std::vector<char> from(size, 'x');
      std::vector<char> to(size);
      do {
        std::memcpy(to.data(), from.data(), to.size());
        leave_the_sanitizer();
      } while (!stop);  // at least once: the stop may come before the first
      EXPECT_EQ(to, from);
    });
    expect_to_be_preempted([](const std::atomic<bool>& stop) {
      try {
        throw std::runtime_error("mine");
      } catch (const std::runtime_error& error) {
        compute_until(stop);
        EXPECT_STREQ(error.what(), "mine");
      }
    });
  });
}

TEST_P(conformance_preemption, b032_the_world_stops_beside_loops_without_calls) {
  run([] {
    const int procs = rt::max_procs();
    std::atomic<bool> stop{false};
    std::atomic<int> going{0};
    rt::scope scope;
    for (int i = 0; i < procs; ++i) {
      scope.go([&] {
        ++going;
        compute_until(stop);
      });
    }
    EXPECT_TRUE(eventually([&] { return going == procs; }));
    for (int i = 0; i < 20; ++i) {
      rt::detail::the_scheduler()->stop_the_world();
      rt::detail::the_scheduler()->start_the_world();
      rt::max_procs(i % 2 == 0 ? procs + 1 : procs);
      rt::yield();
    }
    stop = true;
    scope.wait();
  });
}

TEST_P(conformance_preemption, b033_inside_a_function_with_a_huge_frame) {
  run([] {
    expect_to_be_preempted([](const std::atomic<bool>& stop) {
      volatile char frame[100 * 1024];
      for (volatile char& one : frame) one = 1;
      std::size_t place = 0;
      while (!stop.load(std::memory_order_relaxed)) {
        frame[place] = static_cast<char>(frame[place] + 1);
        frame[place] = static_cast<char>(frame[place] - 1);
        leave_the_sanitizer();
        place = (place + 4096) % sizeof frame;
      }
      for (volatile char& one : frame) ASSERT_EQ(one, 1);
    });
  });
}

TEST(conformance_one_preempted_processor, b034_fast_system_calls_do_not_starve_a_sleeper) {
  rt_test::in_runtime(1, [] {
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    ASSERT_GE(null, 0);
    std::atomic<bool> stop{false};
    std::atomic<long> calls{0};
    rt::scope scope;
    for (int i = 0; i < 2; ++i) {
      scope.go([&] {
        while (!stop) calls += write(null, ".", 1);  // announced to nobody
      });
    }
    rt::sleep_for(10ms);
    // How many fit into a sleep is for the kernel to say, which may keep the thread that calls off its CPU.
    EXPECT_TRUE(eventually([&] { return calls > 100; }));
    stop = true;
    scope.wait();
    close(null);
  });
}

TEST_P(conformance_preemption, b036_just_back_from_a_system_call) {
  run([] {
    for (auto length : {10us, 100us, 1000us}) {
      expect_to_be_preempted([length](const std::atomic<bool>& stop) {
        while (!stop) {
          usleep(static_cast<useconds_t>(length.count()));
          for (rt::time_point until = rt::now() + 12ms; !stop && rt::now() < until;) leave_the_sanitizer();
        }
      });
      expect_to_be_preempted([length](const std::atomic<bool>& stop) {
        rt::blocking([&] { usleep(static_cast<useconds_t>(length.count())); });
        compute_until(stop);
      });
    }
  });
}

// Kernel threads that end, as their locked green threads do, while the world is being stopped.
TEST_P(conformance_preemption, b043_threads_that_end_do_not_hang_a_stop) {
  run([] {
    std::atomic<bool> stop{false};
    rt::scope scope;
    for (int i = 0; i < 4; ++i) {
      scope.go([&] {
        while (!stop) {
          rt::scope one;
          one.go([] {
            rt::lock_os_thread();
            rt::yield();
          });
          one.wait();
        }
      });
    }
    for (int i = 0; i < scaled(200); ++i) {
      rt::detail::the_scheduler()->stop_the_world();
      rt::detail::the_scheduler()->start_the_world();
      rt::yield();
    }
    stop = true;
    scope.wait();
    EXPECT_TRUE(rt_test::eventually([] { return rt::read_stats().threads_ended_total > 0; }));
  });
}

}  // namespace
