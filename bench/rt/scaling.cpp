// What one operation costs when 10, 1000 or a million green threads are at it: `count` is the number of green threads.
#include <algorithm>
#include <atomic>
#include <optional>
#include <vector>

#include "bench/rt/rows.h"
#include "rt/chan.h"
#include "rt/go.h"
#include "rt/sync.h"

namespace bench_rt {

namespace {

// Operations of one measure, all green threads together; more when each would have less than `least_each`.
constexpr std::uint64_t operations = 1'000'000;
constexpr std::uint64_t least_each = 10;

std::uint64_t operations_each(std::uint64_t workers) { return std::max(operations / workers, least_each); }

// `count` green threads that come to a gate: it opens when all are there, and the clock runs from then until the last
// one has come to the end. So a wake-up of each is part of the time, beside `least_each` operations or more.
class race {
 public:
  explicit race(std::uint64_t count) : count_(count) { at_gate_.add(static_cast<std::int64_t>(count)); }
  void pass_gate() {
    at_gate_.done();
    gate_.recv();
  }
  void end() {
    if (ended_.fetch_add(1) + 1 == count_) ended_at_ = bench::now_ns();
  }
  void open_gate() {
    at_gate_.wait();
    opened_at_ = bench::now_ns();
    gate_.close();
  }
  std::int64_t nanoseconds() const {
    bench::require(ended_ == count_, "not every green thread has come to the end");
    return ended_at_ - opened_at_;
  }

 private:
  const std::uint64_t count_;
  rt::wait_group at_gate_;
  rt::chan<std::uint64_t> gate_;
  std::atomic<std::uint64_t> ended_{0};
  std::int64_t opened_at_ = 0;
  std::int64_t ended_at_ = 0;
};

rt::go_options small_stack() {
  rt::go_options options;
  options.stack_size = 64 * 1024;
  return options;
}

}  // namespace

bench::sample scale_yield(std::uint64_t count) {
  const std::uint64_t each = operations_each(count);
  race all(count);
  rt::wait_group group;
  group.add(static_cast<std::int64_t>(count));
  for (std::uint64_t i = 0; i < count; ++i) {
    rt::go(small_stack(), [&] {
      all.pass_gate();
      for (std::uint64_t j = 0; j < each; ++j) rt::yield();
      all.end();
      group.done();
    });
  }
  all.open_gate();
  group.wait();
  return bench::per_operation(count * each, all.nanoseconds());
}

bench::sample scale_chan(std::uint64_t count) {
  const std::uint64_t pairs = std::max<std::uint64_t>(count / 2, 1);
  const std::uint64_t each = operations_each(pairs);
  race all(2 * pairs);
  std::atomic<std::uint64_t> sum{0};
  rt::wait_group group;
  group.add(static_cast<std::int64_t>(2 * pairs));
  for (std::uint64_t i = 0; i < pairs; ++i) {
    rt::chan<std::uint64_t> ping;
    rt::chan<std::uint64_t> pong;
    rt::go(small_stack(), [&, ping, pong] {
      all.pass_gate();
      for (std::uint64_t j = 0; j < each; ++j) pong.send(ping.recv().value() + 1);
      all.end();
      group.done();
    });
    rt::go(small_stack(), [&, ping, pong] {
      all.pass_gate();
      std::uint64_t own = 0;
      for (std::uint64_t j = 0; j < each; ++j) {
        ping.send(j);
        own += pong.recv().value();
      }
      all.end();
      sum += own;
      group.done();
    });
  }
  all.open_gate();
  group.wait();
  bench::require(sum == pairs * (each * (each + 1) / 2), "the answers do not add up");
  return bench::per_operation(pairs * each, all.nanoseconds());
}

bench::sample scale_spawn(std::uint64_t count) {
  const std::uint64_t rounds = std::max<std::uint64_t>(operations / count, 1);
  std::atomic<std::uint64_t> ran{0};
  rt::wait_group group;
  std::int64_t start = 0;
  for (std::uint64_t round = 0; round <= rounds; ++round) {
    if (round == 1) start = bench::now_ns();  // round 0 is the warm-up: it gets the stacks
    group.add(static_cast<std::int64_t>(count));
    for (std::uint64_t i = 0; i < count; ++i) {
      rt::go(small_stack(), [&] {
        ran.fetch_add(1, std::memory_order_relaxed);
        group.done();
      });
    }
    group.wait();
  }
  const std::int64_t end = bench::now_ns();
  bench::require(ran == (rounds + 1) * count, "not every green thread ran once");
  return bench::per_operation(rounds * count, end - start);
}

}  // namespace bench_rt
