#include <chrono>
#include <vector>

#include "bench/rt/rows.h"
#include "rt/time.h"

namespace bench_rt {

using namespace std::chrono_literals;

namespace {

bench::sample arm_and_stop(std::uint64_t count) {
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

}  // namespace

bench::sample timer_arm_stop(std::uint64_t count) { return arm_and_stop(count); }

bench::sample timer_1m_arm_stop(std::uint64_t count) {
  constexpr std::int64_t others = 1'000'000;
  std::vector<rt::timer> armed;
  armed.reserve(others);
  // From half an hour to one and a half, in no order: half of them are due before the timer that is measured.
  for (std::int64_t i = 0; i < others; ++i)
    armed.emplace_back(30min + std::chrono::microseconds(i * 7919 % others * 3600));
  bench::sample found = arm_and_stop(count);
  for (rt::timer& one : armed) bench::require(one.stop(), "a timer of half an hour was over at once");
  return found;
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
