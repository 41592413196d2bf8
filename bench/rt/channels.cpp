#include <atomic>
#include <optional>

#include "bench/rt/rows.h"
#include "rt/chan.h"
#include "rt/select.h"
#include "rt/sync.h"

namespace bench_rt {

bench::sample chan_unbuffered(std::uint64_t count) {
  rt::chan<std::uint64_t> ping;
  rt::chan<std::uint64_t> pong;
  rt::wait_group group;
  group.go([=] {
    while (std::optional<std::uint64_t> value = ping.recv()) pong.send(*value + 1);
  });
  std::uint64_t sum = 0;
  const std::int64_t start = bench::now_ns();
  for (std::uint64_t i = 0; i < count; ++i) {
    ping.send(i);
    sum += pong.recv().value();
  }
  const std::int64_t end = bench::now_ns();
  ping.close();
  group.wait();
  bench::require(sum == count * (count + 1) / 2, "the answers do not add up");
  return bench::per_operation(count, end - start);
}

bench::sample chan_buffered(std::uint64_t count) {
  rt::chan<std::uint64_t> values(128);
  rt::wait_group group;
  std::uint64_t sum = 0;
  const std::int64_t start = bench::now_ns();
  group.go([=] {
    for (std::uint64_t i = 0; i < count; ++i) values.send(i);
    values.close();
  });
  for (std::uint64_t value : values) sum += value;
  const std::int64_t end = bench::now_ns();
  group.wait();
  bench::require(sum == count * (count - 1) / 2, "the values received do not add up");
  return bench::per_operation(count, end - start);
}

bench::sample chan_contended(std::uint64_t count) {
  constexpr std::uint64_t pairs = 8;
  const std::uint64_t each = (count + pairs - 1) / pairs;
  rt::chan<std::uint64_t> values(128);
  rt::wait_group producers;
  rt::wait_group consumers;
  std::atomic<std::uint64_t> sum{0};
  const std::int64_t start = bench::now_ns();
  for (std::uint64_t i = 0; i < pairs; ++i) {
    consumers.go([&] {
      std::uint64_t own = 0;
      for (std::uint64_t value : values) own += value;
      sum += own;
    });
    producers.go([&] {
      for (std::uint64_t j = 0; j < each; ++j) values.send(j);
    });
  }
  producers.wait();
  values.close();
  consumers.wait();
  const std::int64_t end = bench::now_ns();
  bench::require(sum == pairs * (each * (each - 1) / 2), "the values received do not add up");
  return bench::per_operation(pairs * each, end - start);
}

bench::sample select2(std::uint64_t count) {
  // Both channels hold a block's worth of values, so that both are ready at each select. Filling them is not measured.
  constexpr std::uint64_t block = 512;
  const std::uint64_t blocks = (count + block - 1) / block;
  rt::chan<std::uint64_t> left(block);
  rt::chan<std::uint64_t> right(block);
  std::uint64_t sent = 0;
  std::uint64_t received = 0;
  std::uint64_t from_left = 0;
  std::uint64_t from_right = 0;
  std::int64_t elapsed = 0;
  for (std::uint64_t i = 0; i < blocks; ++i) {
    while (left.try_send(sent)) ++sent;
    while (right.try_send(sent)) ++sent;
    const std::int64_t start = bench::now_ns();
    for (std::uint64_t j = 0; j < block; ++j) {
      rt::select(rt::on_recv(left,
                             [&](std::optional<std::uint64_t> value) {
                               received += *value;
                               ++from_left;
                             }),
                 rt::on_recv(right, [&](std::optional<std::uint64_t> value) {
                   received += *value;
                   ++from_right;
                 }));
    }
    elapsed += bench::now_ns() - start;
  }
  const std::uint64_t selects = blocks * block;
  while (std::optional<std::uint64_t> value = left.try_recv()) received += *value;
  while (std::optional<std::uint64_t> value = right.try_recv()) received += *value;
  bench::require(received == sent * (sent - 1) / 2, "the values received do not add up");
  bench::require(from_left + from_right == selects, "not every select received once");
  bench::require(from_left > selects / 3 && from_right > selects / 3, "select prefers one of two ready channels");
  return bench::per_operation(selects, elapsed);
}

}  // namespace bench_rt
