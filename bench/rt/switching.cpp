#include <atomic>

#include "bench/rt/rows.h"
#include "rt/chan.h"
#include "rt/go.h"
#include "rt/runtime.h"
#include "rt/sync.h"

namespace bench_rt {

namespace {

// On one processor two green threads that yield must take turns; a yield that returned at once would look fast.
void require_turns() {
  constexpr int rounds = 1000;
  int last = -1;
  int turns = 0;
  rt::wait_group group;
  for (int self = 0; self < 2; ++self) {
    group.go([&, self] {
      for (int i = 0; i < rounds; ++i) {
        if (last != self) ++turns;
        last = self;
        rt::yield();
      }
    });
  }
  group.wait();
  bench::require(turns >= 2 * rounds * 9 / 10, "yield does not let the other green thread go first");
}

constexpr std::uint64_t fan_out = 10;

void skynet(const rt::chan<std::uint64_t>& results, std::uint64_t first, std::uint64_t leaves) {
  if (leaves == 1) {
    results.send(first);
    return;
  }
  rt::chan<std::uint64_t> children;
  const std::uint64_t share = leaves / fan_out;
  for (std::uint64_t i = 0; i < fan_out; ++i) rt::go(skynet, children, first + i * share, share);
  std::uint64_t sum = 0;
  for (std::uint64_t i = 0; i < fan_out; ++i) sum += children.recv().value();
  results.send(sum);
}

bench::sample skynet_of(std::uint64_t leaves, std::uint64_t count) {
  rt::chan<std::uint64_t> results;
  const std::int64_t start = bench::now_ns();
  for (std::uint64_t i = 0; i < count; ++i) {
    rt::go(skynet, results, std::uint64_t{0}, leaves);
    bench::require(results.recv() == leaves * (leaves - 1) / 2, "the leaves do not add up");
  }
  const std::int64_t end = bench::now_ns();
  bench::sample found = bench::per_operation(count, end - start);
  found.value /= 1e6;
  return found;
}

}  // namespace

bench::sample yield(std::uint64_t count) {
  if (rt::max_procs() == 1) require_turns();
  const std::uint64_t each = (count + 1) / 2;
  std::atomic<std::uint64_t> done{0};
  rt::wait_group group;
  const std::int64_t start = bench::now_ns();
  for (int i = 0; i < 2; ++i) {
    group.go([&] {
      std::uint64_t yields = 0;
      for (; yields < each; ++yields) rt::yield();
      done += yields;
    });
  }
  group.wait();
  const std::int64_t end = bench::now_ns();
  bench::require(done == 2 * each, "not every yield was done");
  return bench::per_operation(2 * each, end - start);
}

bench::sample spawn(std::uint64_t count) {
  std::uint64_t sum = 0;
  rt::wait_group group;
  const std::int64_t start = bench::now_ns();
  for (std::uint64_t i = 0; i < count; ++i) {
    group.go([&sum, i] { sum += i; });
    group.wait();
  }
  const std::int64_t end = bench::now_ns();
  bench::require(sum == count * (count - 1) / 2, "not every green thread ran once");
  return bench::per_operation(count, end - start);
}

bench::sample spawn_batch(std::uint64_t count) {
  constexpr std::uint64_t batch = 1000;
  const std::uint64_t batches = (count + batch - 1) / batch;
  std::atomic<std::uint64_t> sum{0};
  rt::wait_group group;
  const std::int64_t start = bench::now_ns();
  for (std::uint64_t i = 0; i < batches; ++i) {
    for (std::uint64_t j = 0; j < batch; ++j) {
      group.go([&sum, j] { sum.fetch_add(j, std::memory_order_relaxed); });
    }
    group.wait();
  }
  const std::int64_t end = bench::now_ns();
  bench::require(sum == batches * (batch * (batch - 1) / 2), "not every green thread ran once");
  return bench::per_operation(batches * batch, end - start);
}

bench::sample skynet_100k(std::uint64_t count) { return skynet_of(100'000, count); }
bench::sample skynet_1m(std::uint64_t count) { return skynet_of(1'000'000, count); }

}  // namespace bench_rt
