#include <atomic>
#include <boost/fiber/fiber.hpp>
#include <boost/fiber/fixedsize_stack.hpp>
#include <boost/fiber/operations.hpp>
#include <boost/fiber/pooled_fixedsize_stack.hpp>
#include <boost/fiber/unbuffered_channel.hpp>
#include <memory>
#include <vector>

#include "bench/boost_fiber/rows.h"

namespace bench_boost_fiber {

namespace {

using boost::fibers::fiber;

// On one thread two fibers that yield must take turns; a yield that returned at once would look fast.
void require_turns() {
  constexpr int rounds = 1000;
  int last = -1;
  int turns = 0;
  auto work = [&](int self) {
    for (int i = 0; i < rounds; ++i) {
      if (last != self) ++turns;
      last = self;
      boost::this_fiber::yield();
    }
  };
  fiber first(work, 0);
  fiber second(work, 1);
  first.join();
  second.join();
  bench::require(turns >= 2 * rounds * 9 / 10, "yield does not let the other fiber go first");
}

// Calls `body` with the quicker stack allocator of those that are allowed: the pool keeps the stacks of ended fibers,
// but only one kernel thread may use it.
template <class Body>
bench::sample with_stacks(Body&& body) {
  if (threads() == 1) return body(boost::fibers::pooled_fixedsize_stack());
  return body(boost::fibers::fixedsize_stack());
}

constexpr std::uint64_t fan_out = 10;
// Two pages, as in Boost.Fiber's own benchmark of this name: the default of 128 KiB a fiber would need 14 GB.
constexpr std::size_t skynet_stack = 8192;
using results_channel = boost::fibers::unbuffered_channel<std::uint64_t>;

void skynet(results_channel& results, std::uint64_t first, std::uint64_t leaves) {
  if (leaves == 1) {
    results.push(first);
    return;
  }
  results_channel children;
  const std::uint64_t share = leaves / fan_out;
  for (std::uint64_t i = 0; i < fan_out; ++i) {
    fiber(std::allocator_arg, boost::fibers::fixedsize_stack(skynet_stack), skynet, std::ref(children),
          first + i * share, share)
        .detach();
  }
  std::uint64_t sum = 0;
  for (std::uint64_t i = 0; i < fan_out; ++i) sum += children.value_pop();
  results.push(sum);
}

}  // namespace

bench::sample yield(std::uint64_t count) {
  if (threads() == 1) require_turns();
  const std::uint64_t each = (count + 1) / 2;
  std::atomic<std::uint64_t> done{0};
  auto work = [&] {
    std::uint64_t yields = 0;
    for (; yields < each; ++yields) boost::this_fiber::yield();
    done += yields;
  };
  const std::int64_t start = bench::now_ns();
  fiber first(work);
  fiber second(work);
  first.join();
  second.join();
  const std::int64_t end = bench::now_ns();
  bench::require(done == 2 * each, "not every yield was done");
  return bench::per_operation(2 * each, end - start);
}

bench::sample spawn(std::uint64_t count) {
  return with_stacks([&](auto stacks) {
    std::uint64_t sum = 0;
    const std::int64_t start = bench::now_ns();
    for (std::uint64_t i = 0; i < count; ++i) {
      fiber(std::allocator_arg, stacks, [&sum, i] { sum += i; }).join();
    }
    const std::int64_t end = bench::now_ns();
    bench::require(sum == count * (count - 1) / 2, "not every fiber ran once");
    return bench::per_operation(count, end - start);
  });
}

bench::sample spawn_batch(std::uint64_t count) {
  return with_stacks([&](auto stacks) {
    constexpr std::uint64_t batch = 1000;
    const std::uint64_t batches = (count + batch - 1) / batch;
    std::atomic<std::uint64_t> sum{0};
    std::vector<fiber> fibers(batch);
    const std::int64_t start = bench::now_ns();
    for (std::uint64_t i = 0; i < batches; ++i) {
      for (std::uint64_t j = 0; j < batch; ++j) {
        fibers[j] = fiber(std::allocator_arg, stacks, [&sum, j] { sum.fetch_add(j, std::memory_order_relaxed); });
      }
      for (fiber& one : fibers) one.join();
    }
    const std::int64_t end = bench::now_ns();
    bench::require(sum == batches * (batch * (batch - 1) / 2), "not every fiber ran once");
    return bench::per_operation(batches * batch, end - start);
  });
}

bench::sample skynet_100k(std::uint64_t count) {
  constexpr std::uint64_t leaves = 100'000;
  const std::int64_t start = bench::now_ns();
  for (std::uint64_t i = 0; i < count; ++i) {
    results_channel results;
    fiber(std::allocator_arg, boost::fibers::fixedsize_stack(skynet_stack), skynet, std::ref(results), std::uint64_t{0},
          leaves)
        .detach();
    bench::require(results.value_pop() == leaves * (leaves - 1) / 2, "the leaves do not add up");
  }
  const std::int64_t end = bench::now_ns();
  bench::sample found = bench::per_operation(count, end - start);
  found.value /= 1e6;
  return found;
}

}  // namespace bench_boost_fiber
