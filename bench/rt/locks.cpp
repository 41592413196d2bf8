#include "bench/rt/rows.h"
#include "rt/sync.h"

namespace bench_rt {

bench::sample mutex_uncontended(std::uint64_t count) {
  rt::mutex lock;
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
  rt::mutex lock;
  rt::wait_group group;
  std::uint64_t counter = 0;
  const std::int64_t start = bench::now_ns();
  for (std::uint64_t i = 0; i < contenders; ++i) {
    group.go([&] {
      for (std::uint64_t j = 0; j < each; ++j) {
        lock.lock();
        ++counter;
        lock.unlock();
      }
    });
  }
  group.wait();
  const std::int64_t end = bench::now_ns();
  bench::require(counter == contenders * each, "the counter under the mutex is off");
  return bench::per_operation(contenders * each, end - start);
}

}  // namespace bench_rt
