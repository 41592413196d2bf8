#include <boost/fiber/fiber.hpp>
#include <boost/fiber/mutex.hpp>
#include <boost/fiber/operations.hpp>
#include <chrono>
#include <vector>

#include "bench/boost_fiber/rows.h"

namespace bench_boost_fiber {

bench::sample mutex_uncontended(std::uint64_t count) {
  boost::fibers::mutex lock;
  std::uint64_t counter = 0;
  const std::int64_t start = bench::now_ns();
  for (std::uint64_t i = 0; i < count; ++i) {
    lock.lock();
    ++counter;
    lock.unlock();
  }
  const std::int64_t end = bench::now_ns();
  bench::require(counter == count, "the counter under the mutex is off");
  return bench::per_operation(count, end - start);
}

bench::sample mutex_16(std::uint64_t count) {
  constexpr std::uint64_t contenders = 16;
  const std::uint64_t each = (count + contenders - 1) / contenders;
  boost::fibers::mutex lock;
  std::uint64_t counter = 0;
  std::vector<boost::fibers::fiber> fibers;
  const std::int64_t start = bench::now_ns();
  for (std::uint64_t i = 0; i < contenders; ++i) {
    fibers.emplace_back([&] {
      for (std::uint64_t j = 0; j < each; ++j) {
        lock.lock();
        ++counter;
        lock.unlock();
      }
    });
  }
  for (boost::fibers::fiber& one : fibers) one.join();
  const std::int64_t end = bench::now_ns();
  bench::require(counter == contenders * each, "the counter under the mutex is off");
  return bench::per_operation(contenders * each, end - start);
}

bench::sample sleep_50us(std::uint64_t count) {
  constexpr std::int64_t length = 50'000;
  std::vector<std::int64_t> lengths;
  lengths.reserve(count);
  const std::int64_t start = bench::now_ns();
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::int64_t before = bench::now_ns();
    boost::this_fiber::sleep_for(std::chrono::nanoseconds(length));
    lengths.push_back(bench::now_ns() - before);
  }
  bench::sample found = bench::per_operation(count, bench::now_ns() - start);
  found.value = static_cast<double>(bench::quantile(lengths, 0.5)) / 1e3;
  found.details.emplace_back("p99_us", static_cast<double>(bench::quantile(lengths, 0.99)) / 1e3);
  bench::require(lengths.front() >= length, "a sleep ended early");
  return found;
}

}  // namespace bench_boost_fiber
