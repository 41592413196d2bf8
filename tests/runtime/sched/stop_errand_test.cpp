#include "runtime/sched/stop_errand.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

#include "rt/rt.h"
#include "runtime/os/clock.h"
#include "runtime/sched/scheduler.h"
#include "tests/runtime/in_runtime.h"

namespace {

RT_ON_PROCS(errands);

// Looks, with the world stopped, whether green threads that count do so meanwhile.
struct look_at_counters : rt::detail::stop_errand {
  explicit look_at_counters(std::vector<std::atomic<long>>& all) : counters(all) {
    work = [](stop_errand& errand) noexcept {
      auto& self = static_cast<look_at_counters&>(errand);
      self.by_worker = rt::detail::current_worker() != nullptr;
      // On a busy machine one that waits for a CPU is taken for asleep, and loses its P; then it goes on without.
      const bool all_held = rt::detail::the_scheduler()->hold_outsiders() == 0;
      const long before = self.sum();
      for (int i = 0; i < 2000; ++i) rt::os::cpu_pause();
      self.moved = all_held && self.sum() != before;
      rt::detail::the_scheduler()->release_outsiders();
    };
  }
  long sum() const {
    long all = 0;
    for (const std::atomic<long>& one : counters) all += one.load(std::memory_order_relaxed);
    return all;
  }
  std::vector<std::atomic<long>>& counters;
  bool by_worker = false;
  bool moved = false;
};

// Green threads that count beside errands of a thread without a P, as many as Ps, until `enough(errand, number)`.
template <class Count, class Enough>
void count_beside_errands(const Count& count, const Enough& enough) {
  const int procs = rt::max_procs();
  std::atomic<bool> end{false};
  std::vector<std::atomic<long>> counters(static_cast<std::size_t>(procs));
  rt::wait_group group;
  for (int i = 0; i < procs; ++i) {
    group.go([&, i] {
      while (!end.load(std::memory_order_relaxed)) count(counters[static_cast<std::size_t>(i)]);
    });
  }
  std::thread asker([&] {
    auto has_begun = [](const std::atomic<long>& one) { return one.load(std::memory_order_relaxed) != 0; };
    while (!std::all_of(counters.begin(), counters.end(), has_begun)) std::this_thread::yield();
    for (int i = 1;; ++i) {
      look_at_counters errand(counters);
      rt::detail::the_scheduler()->run_errand(errand);
      EXPECT_FALSE(errand.moved) << "in errand " << i << (errand.by_worker ? " of an M" : " of its caller");
      EXPECT_GE(errand.started, errand.began);
      if (errand.moved || enough(errand, i)) break;
    }
    end = true;
  });
  group.wait();
  rt::blocking([&] { asker.join(); });
}

TEST_P(errands, are_done_by_an_m_that_comes_by) {
  run([] {
    int by_worker = 0;
    count_beside_errands(
        [](std::atomic<long>& mine) {
          mine.fetch_add(1, std::memory_order_relaxed);
          rt::yield();
        },
        [&](const look_at_counters& errand, int) { return (by_worker += errand.by_worker ? 1 : 0) >= 3; });
    EXPECT_GE(by_worker, 3);
  });
}

TEST_P(errands, are_done_by_who_asks_beside_loops_without_a_call) {
  run([] {
    count_beside_errands(
        [](std::atomic<long>& mine) {
          for (int i = 0; i < 1'000'000; ++i) mine.fetch_add(1, std::memory_order_relaxed);
        },
        [](const look_at_counters&, int number) { return number >= 3; });
  });
}

// An M that is on an errand has no green thread, and the world may be stopped by others at the same time.
TEST_P(errands, and_other_stops_wait_for_each_other) {
  run([] {
    std::atomic<bool> end{false};
    std::atomic<int> inside{0};
    std::thread other([&] {
      while (!end) {
        rt::detail::the_scheduler()->stop_the_world();
        EXPECT_EQ(inside.exchange(1), 0);
        inside = 0;
        rt::detail::the_scheduler()->start_the_world();
        std::this_thread::yield();
      }
    });
    struct exclusive : rt::detail::stop_errand {
      std::atomic<int>* inside;
      int found;
    };
    std::thread asker([&] {
      for (int i = 0; i < rt_test::scaled(40); ++i) {
        exclusive errand;
        errand.inside = &inside;
        errand.work = [](rt::detail::stop_errand& mine) noexcept {
          auto& self = static_cast<exclusive&>(mine);
          self.found = self.inside->exchange(1);
          *self.inside = 0;
        };
        rt::detail::the_scheduler()->run_errand(errand);
        EXPECT_EQ(errand.found, 0);
      }
      end = true;
    });
    while (!end) rt::yield();
    rt::blocking([&] {
      asker.join();
      other.join();
    });
  });
}

}  // namespace
