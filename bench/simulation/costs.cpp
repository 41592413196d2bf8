#include "bench/simulation/costs.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "bench/common/program.h"
#include "runtime/os/clock.h"
#include "runtime/os/futex.h"

namespace bench_simulation {

namespace {

// What a tenth of the values are below: what disturbs only adds, and on a busy machine disturbs most.
double undisturbed(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 10];
}

// The least of several tries: what disturbs only adds.
template <class Work>
double nanoseconds_each(int operations, Work work) {
  double least = 1e18;
  for (int i = 0; i < 7; ++i) {
    const std::int64_t start = bench::now_ns();
    work(operations);
    least = std::min(least, static_cast<double>(bench::now_ns() - start) / operations);
  }
  return least;
}

void run_on(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<unsigned>(cpu), &set);
  pthread_setaffinity_np(pthread_self(), sizeof set, &set);  // where it is refused, the kernel chooses
}

// The length of the system call, and the time until the woken thread runs on another CPU.
void futex_costs(costs& found) {
  constexpr std::uint32_t rounds = 300;
  std::atomic<std::uint32_t> word{0};
  std::atomic<std::int64_t> woken_at{0};
  std::thread sleeper([&] {
    run_on(1);
    for (std::uint32_t i = 0; i < rounds; ++i) {
      while (word.load() == i) rt::os::futex_wait(word, i, -1);
      woken_at = bench::now_ns();
    }
  });
  std::vector<double> calls;
  std::vector<double> latencies;
  for (std::uint32_t i = 0; i < rounds; ++i) {
    std::this_thread::sleep_for(std::chrono::microseconds(200));  // until it sleeps
    woken_at = 0;
    const std::int64_t start = bench::now_ns();
    word = i + 1;
    rt::os::futex_wake(word, 1);
    const std::int64_t called = bench::now_ns();
    while (woken_at == 0) rt::os::cpu_pause();
    calls.push_back(static_cast<double>(called - start));
    latencies.push_back(static_cast<double>(woken_at - start));
  }
  sleeper.join();
  found.futex_wake = undisturbed(calls);
  found.wake_latency = std::max(undisturbed(latencies), found.futex_wake);
}

}  // namespace

costs measure_costs() {
  costs found;
  std::atomic<std::uint64_t> word{0};
  found.locked = nanoseconds_each(100'000, [&](int count) {
    for (int i = 0; i < count; ++i) word.fetch_add(1);
  });
  found.clock = nanoseconds_each(20'000, [&](int count) {
    for (int i = 0; i < count; ++i) word.store(static_cast<std::uint64_t>(bench::now_ns()), std::memory_order_relaxed);
  });
  if (bench::usable_cpus() < 2) return found;
  cpu_set_t before;
  const bool known = sched_getaffinity(0, sizeof before, &before) == 0;
  run_on(0);
  futex_costs(found);
  if (known) pthread_setaffinity_np(pthread_self(), sizeof before, &before);
  return found;
}

}  // namespace bench_simulation
