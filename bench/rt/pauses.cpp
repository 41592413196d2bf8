// How long collections stop everything, and how much of that is the way until all have stopped.
#include <atomic>
#include <vector>

#include "bench/rt/rows.h"
#include "rt/rt.h"

namespace bench_rt {

namespace {

// How many of the objects that become garbage are alive: the last ones.
constexpr std::size_t kept = 8192;

// 256 bytes with one reference, in chains.
struct link {
  rt::ref<link> next;
  std::uint64_t words[31];
};
static_assert(sizeof(link) == 256);
constexpr std::uint64_t live_links = (std::uint64_t{1} << 30) / sizeof(link);  // 1 GiB
constexpr std::size_t chains = 1024;
constexpr int parked_beside = 100'000;

// Fewer collections than this are a trial, which makes do with a sixty-fourth of all.
constexpr std::uint64_t least_for_figures = 10;
constexpr std::uint64_t part_for_trial = 64;

// Until all green threads had stopped, together and how often.
struct stops {
  double seconds = 0;
  double count = 0;

  static stops read() {
    const rt::gc_stats stats = rt::read_gc_stats();
    stops found{stats.stop_seconds_sum, 0};
    for (const std::uint64_t number : stats.stop_buckets) found.count += static_cast<double>(number);
    return found;
  }
};

// Of `count` collections or more, which garbage causes, with a `part`-th of 1 GiB and of 100 000 parked green threads
// beside them.
bench::sample pauses_of(std::uint64_t count, std::uint64_t part) {
  const int parked = parked_beside / static_cast<int>(part);
  rt::ref<link>* heads = rt::make_array<rt::ref<link>>(chains);
  for (std::uint64_t i = 0; i < live_links / part; ++i) {
    link* fresh = rt::make<link>();
    fresh->next = heads[i % chains];
    heads[i % chains] = fresh;
  }
  rt::chan<int> gate;
  std::atomic<int> begun{0};
  rt::wait_group group;
  for (int i = 0; i < parked; ++i) {
    group.go([&] {
      begun.fetch_add(1, std::memory_order_relaxed);
      gate.recv();
    });
  }
  while (begun.load(std::memory_order_relaxed) < parked) rt::sleep_for(std::chrono::milliseconds(1));
  rt::gc();
  const stops before = stops::read();
  const std::uint32_t first = rt::read_mem_stats().num_gc;
  rt::ref<link>* ring = rt::make_array<rt::ref<link>>(kept);
  const std::int64_t start = bench::now_ns();
  for (std::uint64_t i = 0; i % 1024 != 0 || rt::read_mem_stats().num_gc < first + count; ++i) {
    ring[i % kept] = rt::make<link>();
  }
  const std::int64_t end = bench::now_ns();
  const rt::mem_stats stats = rt::read_mem_stats();
  const stops after = stops::read();
  std::vector<std::int64_t> pauses;
  for (std::uint32_t i = first; i < stats.num_gc && pauses.size() < 256; ++i) {
    pauses.push_back(static_cast<std::int64_t>(stats.pause_ns[i % 256]));
  }
  gate.close();
  group.wait();
  std::uint64_t alive = 0;
  for (std::size_t i = 0; i < chains; ++i) {
    for (const link* one = heads[i]; one != nullptr; one = one->next) ++alive;
  }
  bench::require(alive == live_links / part, "the chains have lost links");
  bench::require(after.count >= before.count + 2 * static_cast<double>(count), "a collection has less than two stops");
  bench::sample found = bench::per_operation(pauses.size(), end - start);
  found.value = static_cast<double>(bench::quantile(pauses, 0.99)) * 1e-3;
  found.details = {{"median_us", static_cast<double>(bench::quantile(pauses, 0.5)) * 1e-3},
                   {"stop_us", (after.seconds - before.seconds) / (after.count - before.count) * 1e6}};
  return found;
}

}  // namespace

// The stops of collections, with 1 GiB alive and 100 000 parked green threads.
bench::sample gc_pause(std::uint64_t count) { return pauses_of(count, count < least_for_figures ? part_for_trial : 1); }

// The same while a loop without any call has the other processor.
bench::sample gc_pause_loop(std::uint64_t count) {
  std::atomic<bool> over{false};
  std::atomic<bool> begun{false};
  rt::wait_group loop;
  loop.go([&] {
    begun = true;
    std::uint64_t turns = 0;
    while (!over.load(std::memory_order_relaxed)) ++turns;
    bench::require(turns > 0, "the loop did nothing");
  });
  while (!begun) rt::sleep_for(std::chrono::milliseconds(1));
  bench::sample found = gc_pause(count);
  over = true;
  loop.wait();
  return found;
}

}  // namespace bench_rt
