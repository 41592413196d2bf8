// Behaviours 35 and 42: what share of a P one gets, and whether it is the same P and thread after a stop.
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <thread>
#include <vector>

#include "rt/rt.h"
#include "runtime/sched/scheduler.h"
#include "tests/conformance/conformance.h"

namespace {

using namespace std::chrono_literals;
using namespace conformance;

// Sends the ball back and forth with a partner; each time it has the ball it does `work`.
void play(const rt::chan<int>& ball, const std::atomic<bool>& stop, int work, std::atomic<long>& done) {
  while (ball.recv()) {
    if (stop) {
      ball.close();
      return;
    }
    for (volatile int i = 0; i < work;) i = i + 1;
    done += work;
    if (stop) {
      ball.close();
      return;
    }
    ball.send(1);
  }
}

TEST(conformance_one_processor, b035_a_pair_of_hogs_and_a_light_pair_get_comparable_time) {
  rt_test::in_runtime(1, [] {
    std::atomic<bool> stop{false};
    std::array<std::atomic<long>, 2> done{};
    std::array<rt::chan<int>, 2> balls;
#if defined(__SANITIZE_THREAD__)
    constexpr int light_work =
        20'000;  // the sanitizer's share of a hand-over takes as long as ten times the work below
#else
    constexpr int light_work = 1'000;
#endif
    constexpr std::array<int, 2> work{1'000'000, light_work};
    rt::wait_group group;
    for (std::size_t pair = 0; pair < 2; ++pair) {
      for (int i = 0; i < 2; ++i) {
        group.go([&, pair] {
          try {
            play(balls[pair], stop, work[pair], done[pair]);
          } catch (const rt::channel_closed&) {
          }
        });
      }
    }
    for (auto& one : balls) one.send(1);
    // By what was done and not by time: some thirty turns of each, however little of a CPU there is.
    // Seldom: a wake-up of this one ends the turn of the pair that runs.
    do rt::sleep_for(100ms);
    while (done[0] + done[1] < 300'000'000);
    stop = true;
    group.wait();
    const auto hogs = static_cast<double>(done[0]);
    const auto light = static_cast<double>(done[1]);
    EXPECT_GT(hogs, 0);
    EXPECT_GT(light, 0);
    EXPECT_LT(hogs / light, 20);
    EXPECT_LT(light / hogs, 20);
  });
}

struct place {
  int proc;
  long thread;
};

place current_place() {
  rt::detail::worker& self = rt::detail::enter_with_proc();
  const int id = self.p->id;
  rt::os::leave_critical(self);
  return {id, syscall(SYS_gettid)};
}

constexpr int rounds = 50;

struct resumed {
  int on_same_proc = 0;
  int on_same_thread = 0;
};

// Stops and starts the world `rounds` times beside `count` that run all the time: how many times one of them resumed on
// the P and on the thread that it ran on before.
resumed resume_after_stops(std::size_t count) {
  struct alignas(64) runner {
    std::atomic<int> proc{-1};
    std::atomic<long> thread{0};
    std::atomic<long> looks{0};
  };
  std::vector<runner> runners(count);
  std::atomic<bool> stop{false};
  rt::scope scope;
  for (runner& one : runners) {
    scope.go([&] {
      while (!stop) {
        rt::checkpoint();
        place now = current_place();
        one.proc = now.proc;
        one.thread = now.thread;
        ++one.looks;
        sched_yield();
      }
    });
  }
  auto wait_for_a_look = [&] {
    for (runner& one : runners) {
      // Without giving its P up, which would go stealing.
      for (const long before = one.looks; one.looks <= before + 1;) sched_yield();
    }
  };
  resumed found;
  for (int round = 0; round < rounds; ++round) {
    wait_for_a_look();
    rt::detail::the_scheduler()->stop_the_world();
    std::vector<place> before(count);
    for (std::size_t i = 0; i < count; ++i) before[i] = {runners[i].proc, runners[i].thread};
    rt::detail::the_scheduler()->start_the_world();
    wait_for_a_look();
    for (std::size_t i = 0; i < count; ++i) {
      found.on_same_proc += runners[i].proc == before[i].proc ? 1 : 0;
      found.on_same_thread += runners[i].thread == before[i].thread ? 1 : 0;
    }
  }
  stop = true;
  scope.wait();
  return found;
}

// As Go's, without more threads than CPUs: one that waits for a CPU does not resume at once, and its work may be
// stolen.
TEST(conformance_stop_the_world, b042_green_threads_resume_where_they_were) {
  const std::size_t count = std::min(std::thread::hardware_concurrency(), 4U) - 1;
  if (count == 0) GTEST_SKIP() << "there is one CPU";
  rt_test::in_runtime(static_cast<int>(count) + 1, [count] {
    const resumed found = resume_after_stops(count);
    const int all = static_cast<int>(count) * rounds;
    EXPECT_GE(found.on_same_proc, all * 3 / 4);
    EXPECT_GE(found.on_same_thread, all * 3 / 4);
  });
}

// Also with fewer CPUs: whoever resumes on the same P does so on the same thread.
TEST(conformance_stop_the_world, b042_processors_keep_their_threads) {
  rt_test::in_runtime(4, [] {
    const resumed found = resume_after_stops(3);
    EXPECT_GE(found.on_same_thread, found.on_same_proc * 3 / 4) << found.on_same_proc;
  });
}

}  // namespace
