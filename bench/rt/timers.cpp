#include <chrono>
#include <vector>

#include "bench/rt/rows.h"
#include "rt/time.h"

namespace bench_rt {

using namespace std::chrono_literals;

bench::sample timer_arm_stop(std::uint64_t count) {
  std::uint64_t stopped = 0;
  const std::int64_t start = bench::now_ns();
  for (std::uint64_t i = 0; i < count; ++i) {
    rt::timer timer(1h);
    if (timer.stop()) ++stopped;
  }
  const std::int64_t end = bench::now_ns();
  bench::require(stopped == count, "a timer that was armed says that it was not");
  return bench::per_operation(count, end - start);
}

bench::sample timer_reset_stop(std::uint64_t count) {
  rt::timer timer(1h);
  timer.stop();
  std::uint64_t stopped = 0;
  const std::int64_t start = bench::now_ns();
  for (std::uint64_t i = 0; i < count; ++i) {
    timer.reset(1h);
    if (timer.stop()) ++stopped;
  }
  const std::int64_t end = bench::now_ns();
  bench::require(stopped == count, "a timer that was armed says that it was not");
  return bench::per_operation(count, end - start);
}

bench::sample sleep_50us(std::uint64_t count) {
  constexpr std::int64_t length = 50'000;
  std::vector<std::int64_t> lengths;
  lengths.reserve(count);
  const std::int64_t start = bench::now_ns();
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::int64_t before = bench::now_ns();
    rt::sleep_for(std::chrono::nanoseconds(length));
    lengths.push_back(bench::now_ns() - before);
  }
  bench::sample found = bench::per_operation(count, bench::now_ns() - start);
  found.value = static_cast<double>(bench::quantile(lengths, 0.5)) / 1e3;
  found.details.emplace_back("p99_us", static_cast<double>(bench::quantile(lengths, 0.99)) / 1e3);
  bench::require(lengths.front() >= length, "a sleep ended early");
  return found;
}

}  // namespace bench_rt
