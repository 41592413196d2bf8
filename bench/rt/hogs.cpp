// Green threads that share their processors with hogs: loops without a call, which give nothing up by themselves.
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <ctime>
#include <vector>

#include "bench/rt/rows.h"
#include "rt/chan.h"
#include "rt/runtime.h"
#include "rt/sync.h"
#include "rt/time.h"

namespace bench_rt {

namespace {

constexpr std::int64_t light_period = 1'000'000;  // ns between two wake-ups of a light task
constexpr std::uint64_t light_tasks = 8;

// Starts `count` hogs, runs `work` beside them, and ends them.
template <class Work>
auto beside_hogs(int count, Work work) {
  std::atomic<bool> over{false};
  std::atomic<int> started{0};
  rt::wait_group hogs;
  for (int i = 0; i < count; ++i) {
    hogs.go([&] {
      ++started;
      std::uint64_t turns = 0;
      while (!over.load(std::memory_order_relaxed)) ++turns;
      bench::require(turns > 0, "a hog did nothing");
    });
  }
  while (started != count) rt::sleep_for(std::chrono::milliseconds(1));
  auto found = work();
  over = true;
  hogs.wait();
  return found;
}

// How late each of `count` wake-ups of light tasks was, in nanoseconds: from when it was due until the task ran.
std::vector<std::int64_t> lateness_of_light_tasks(std::uint64_t count) {
  const std::uint64_t each = (count + light_tasks - 1) / light_tasks;
  std::vector<std::int64_t> lateness(light_tasks * each);
  rt::wait_group group;
  for (std::uint64_t task = 0; task < light_tasks; ++task) {
    group.go([&lateness, each, task] {
      for (std::uint64_t i = 0; i < each; ++i) {
        const std::int64_t due = bench::now_ns() + light_period;
        rt::sleep_until(rt::time_point(rt::duration(due)));
        lateness[task * each + i] = bench::now_ns() - due;
      }
    });
  }
  group.wait();
  return lateness;
}

bench::sample p99_of(std::vector<std::int64_t>& lateness, std::int64_t elapsed) {
  bench::sample found = bench::per_operation(lateness.size(), elapsed);
  found.value = static_cast<double>(bench::quantile(lateness, 0.99)) / 1e3;
  found.details = {{"p50_us", static_cast<double>(bench::quantile(lateness, 0.5)) / 1e3},
                   {"max_us", static_cast<double>(lateness.back()) / 1e3}};
  return found;
}

// The p99 beside `disturb`, as a multiple of the p99 of the same tasks alone.
template <class Disturb>
bench::sample p99_growth(std::uint64_t count, Disturb disturb) {
  std::vector<std::int64_t> alone = lateness_of_light_tasks(count);
  const std::int64_t start = bench::now_ns();
  std::vector<std::int64_t> beside = disturb([&] { return lateness_of_light_tasks(count); });
  bench::sample found = bench::per_operation(beside.size(), bench::now_ns() - start);
  const auto before = static_cast<double>(bench::quantile(alone, 0.99));
  const auto after = static_cast<double>(bench::quantile(beside, 0.99));
  found.value = after / before;
  found.details = {{"alone_p99_us", before / 1e3}, {"beside_p99_us", after / 1e3}};
  return found;
}

}  // namespace

bench::sample hog_pingpong(std::uint64_t count) {
  bench::sample found = beside_hogs(rt::max_procs(), [count] { return chan_unbuffered(count); });
  found.value /= 1e3;
  return found;
}

bench::sample hog_light(std::uint64_t count) {
  const std::int64_t start = bench::now_ns();
  std::vector<std::int64_t> lateness = beside_hogs(rt::max_procs(), [count] { return lateness_of_light_tasks(count); });
  return p99_of(lateness, bench::now_ns() - start);
}

bench::sample loop_beside(std::uint64_t count) {
  return p99_growth(count, [](auto work) { return beside_hogs(1, work); });
}

bench::sample block_beside(std::uint64_t count) {
  return p99_growth(count, [](auto work) {
    std::atomic<bool> over{false};
    rt::wait_group sleeper;
    // The system call itself: a call that nothing announces to the runtime, as a library's would be.
    sleeper.go([&] {
      while (!over.load(std::memory_order_relaxed)) {
        timespec length{0, 200'000'000};
        syscall(SYS_nanosleep, &length, nullptr);
      }
    });
    auto found = work();
    over = true;
    sleeper.wait();
    return found;
  });
}

}  // namespace bench_rt
