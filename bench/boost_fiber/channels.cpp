#include <atomic>
#include <boost/fiber/buffered_channel.hpp>
#include <boost/fiber/fiber.hpp>
#include <boost/fiber/unbuffered_channel.hpp>
#include <vector>

#include "bench/boost_fiber/rows.h"

namespace bench_boost_fiber {

namespace {
using boost::fibers::channel_op_status;
using boost::fibers::fiber;
}  // namespace

bench::sample chan_unbuffered(std::uint64_t count) {
  boost::fibers::unbuffered_channel<std::uint64_t> ping;
  boost::fibers::unbuffered_channel<std::uint64_t> pong;
  fiber answering([&] {
    std::uint64_t value = 0;
    while (ping.pop(value) == channel_op_status::success) pong.push(value + 1);
  });
  std::uint64_t sum = 0;
  const std::int64_t start = bench::now_ns();
  for (std::uint64_t i = 0; i < count; ++i) {
    ping.push(i);
    sum += pong.value_pop();
  }
  const std::int64_t end = bench::now_ns();
  ping.close();
  answering.join();
  bench::require(sum == count * (count + 1) / 2, "the answers do not add up");
  return bench::per_operation(count, end - start);
}

bench::sample chan_buffered(std::uint64_t count) {
  boost::fibers::buffered_channel<std::uint64_t> values(128);  // holds 127: one slot tells full from empty
  std::uint64_t sum = 0;
  const std::int64_t start = bench::now_ns();
  fiber producer([&] {
    for (std::uint64_t i = 0; i < count; ++i) values.push(i);
    values.close();
  });
  for (std::uint64_t value : values) sum += value;
  const std::int64_t end = bench::now_ns();
  producer.join();
  bench::require(sum == count * (count - 1) / 2, "the values received do not add up");
  return bench::per_operation(count, end - start);
}

bench::sample chan_contended(std::uint64_t count) {
  constexpr std::uint64_t pairs = 8;
  const std::uint64_t each = (count + pairs - 1) / pairs;
  boost::fibers::buffered_channel<std::uint64_t> values(128);
  std::atomic<std::uint64_t> sum{0};
  std::vector<fiber> producers;
  std::vector<fiber> consumers;
  const std::int64_t start = bench::now_ns();
  for (std::uint64_t i = 0; i < pairs; ++i) {
    consumers.emplace_back([&] {
      std::uint64_t own = 0;
      for (std::uint64_t value : values) own += value;
      sum += own;
    });
    producers.emplace_back([&] {
      for (std::uint64_t j = 0; j < each; ++j) values.push(j);
    });
  }
  for (fiber& one : producers) one.join();
  values.close();
  for (fiber& one : consumers) one.join();
  const std::int64_t end = bench::now_ns();
  bench::require(sum == pairs * (each * (each - 1) / 2), "the values received do not add up");
  return bench::per_operation(pairs * each, end - start);
}

}  // namespace bench_boost_fiber
