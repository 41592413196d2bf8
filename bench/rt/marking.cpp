// How fast marking is, and what it makes of a store.
#include <algorithm>
#include <atomic>
#include <vector>

#include "bench/common/mark_graph.h"
#include "bench/rt/rows.h"
#include "rt/rt.h"

namespace bench_rt {

namespace {

struct record {
  rt::ref<record> left, right;
  std::uint64_t words[6];
};
static_assert(sizeof(record) == 64);

record* make_live_records() {
  const int percent = rt::set_gc_percent(rt::gc_off);
  record* top = bench::make_graph<record>([] { return rt::make<record>(); });
  rt::set_gc_percent(percent);
  return top;
}

// Where stores go, and what is stored: both powers of two, the first within the nearest cache.
constexpr std::size_t slots = 1024;
constexpr std::size_t targets = 4096;

class stores {
 public:
  stores() {
    for (std::size_t i = 0; i < targets; ++i) {
      record* fresh = rt::make<record>();
      fresh->words[0] = i;
      targets_[i] = fresh;
    }
  }

  // Not inlined: the same code for both rows.
  __attribute__((noinline)) void perform(std::uint64_t count) {
    rt::ref<record>* const to = slots_;
    const rt::ref<record>* const from = targets_;
    std::uint64_t done = done_;
    for (const std::uint64_t end = done + count; done < end; ++done) to[done % slots] = from[done % targets];
    done_ = done;
  }

  void check() const {
    for (std::uint64_t i = done_ > slots ? done_ - slots : 0; i < done_; ++i) {
      bench::require(slots_[i % slots]->words[0] == i % targets, "a slot holds another object");
    }
  }

 private:
  rt::ref<record>* slots_ = rt::make_array<rt::ref<record>>(slots);
  rt::ref<record>* targets_ = rt::make_array<rt::ref<record>>(targets);
  std::uint64_t done_ = 0;
};

std::uint64_t cycles_of(const rt::gc_stats& stats) {
  return stats.cycles_growth_total + stats.cycles_forced_total + stats.cycles_period_total +
         stats.cycles_task_limit_total + stats.cycles_task_end_total;
}

}  // namespace

// Collections that are asked for, with 64 MiB alive in objects of 64 bytes: what of it is gone over in a second.
bench::sample mark_rate(std::uint64_t count) {
  record* live = make_live_records();
  rt::gc();
  const std::int64_t start = bench::now_ns();
  for (std::uint64_t i = 0; i < count; ++i) rt::gc();
  const std::int64_t end = bench::now_ns();
  bench::require(bench::sum_of_graph(live) == bench::graph_sum, "the live objects have changed");
  bench::sample found = bench::per_operation(count, end - start);
  found.value = static_cast<double>(count * bench::graph_records * sizeof(record)) * 1e-6 / found.seconds;
  return found;
}

// A reference is stored over another one, while no collection is under way.
bench::sample barrier_off(std::uint64_t count) {
  stores all;
  rt::gc();
  const std::int64_t start = bench::now_ns();
  all.perform(count);
  const std::int64_t end = bench::now_ns();
  all.check();
  return bench::per_operation(count, end - start);
}

// The same while the collector marks: batches of stores before and after which it did, in the same cycle.
bench::sample barrier_on(std::uint64_t count) {
  constexpr std::uint64_t longest_batch = 10'000;
  constexpr std::uint64_t most_cycles = 10'000;
  record* live = make_live_records();
  stores all;
  std::atomic<bool> over{false};
  rt::wait_group group;
  group.go([&] {
    while (!over) rt::gc();
  });
  const std::uint64_t batch = std::min(count, longest_batch);
  std::vector<std::int64_t> times;
  const std::uint64_t first_cycle = cycles_of(rt::read_gc_stats());
  while (times.size() * batch < count) {
    const rt::gc_stats before = rt::read_gc_stats();
    bench::require(cycles_of(before) < first_cycle + most_cycles, "no store was ever done while the collector marked");
    const std::int64_t start = bench::now_ns();
    all.perform(batch);
    const std::int64_t end = bench::now_ns();
    const rt::gc_stats after = rt::read_gc_stats();
    if (before.is_marking && after.is_marking && cycles_of(before) == cycles_of(after)) times.push_back(end - start);
  }
  over = true;
  group.wait();
  all.check();
  bench::require(bench::sum_of_graph(live) == bench::graph_sum, "the live objects have changed");
  // The median: what interrupts a batch is not the barrier's.
  return bench::per_operation(batch, bench::quantile(times, 0.5));
}

}  // namespace bench_rt
