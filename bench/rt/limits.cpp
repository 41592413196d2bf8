// Whether a task that is at the limit of its memory costs others anything.
#include <algorithm>
#include <atomic>
#include <vector>

#include "bench/rt/rows.h"
#include "rt/rt.h"
#include "runtime/sched/group.h"

namespace bench_rt {

namespace {

constexpr std::size_t mib = std::size_t{1} << 20;

// 1 KiB with a reference.
struct block {
  rt::ref<block> next;
  std::uint64_t words[127];
};
static_assert(sizeof(block) == 1024);

struct node {
  rt::ref<node> left, right;
  std::uint64_t number[2];
};
constexpr std::size_t kept = 8192;  // nodes that are alive: the last ones

// What the neighbour keeps, in bytes, and the limits by which it cannot.
constexpr std::size_t neighbour_keeps = 32 * mib;
constexpr std::size_t soft_limit = 24 * mib;
constexpr std::size_t hard_limit = 24 * mib;

// A task beside the caller's.
class neighbour {
 public:
  neighbour(std::size_t soft, std::size_t hard) : of_("neighbour") {
    of_.heap.set_limits(soft, hard);
    rt::detail::spawn(&of_.domain, rt::go_options{}, [this] { allocate(); });
    while (!begun_) rt::sleep_for(std::chrono::milliseconds(1));
  }
  ~neighbour() {
    over_ = true;
    bench::require(of_.wait_until_at_most(0, INT64_MAX), "the neighbour did not end");
  }
  neighbour(const neighbour&) = delete;
  neighbour& operator=(const neighbour&) = delete;
  // So far: how often it was slowed down, or refused.
  std::uint64_t times_limited() const {
    const rt::detail::owner_figures figures = of_.heap.figures();
    return figures.limit_waits + figures.limit_failures;
  }

 private:
  // Fills a ring again and again; what it is refused it goes without.
  void allocate() {
    rt::ref<block>* ring = rt::make_array<rt::ref<block>>(neighbour_keeps / sizeof(block));
    for (std::size_t i = 0; !over_; ++i) {
      if (i == neighbour_keeps / sizeof(block)) begun_ = true;
      try {
        ring[i % (neighbour_keeps / sizeof(block))] = rt::make<block>();
      } catch (const rt::out_of_task_memory&) {
        begun_ = true;
        for (std::size_t k = 0; k < neighbour_keeps / sizeof(block); k += 2) ring[k] = nullptr;
      }
      rt::checkpoint();
    }
  }

  std::atomic<bool> over_{false};
  std::atomic<bool> begun_{false};
  rt::detail::group of_;
};

struct seen {
  double seconds;    // for the caller's own work
  double pause_p99;  // us, of the collections meanwhile
};

// `count` objects of 32 bytes, of which the last 8192 are alive.
seen work(std::uint64_t count) {
  rt::ref<node>* ring = rt::make_array<rt::ref<node>>(kept);
  const std::uint32_t first = rt::read_mem_stats().num_gc;
  const std::int64_t start = bench::now_ns();
  for (std::uint64_t i = 0; i < count; ++i) ring[i % kept] = rt::make<node>();
  const std::int64_t end = bench::now_ns();
  while (rt::read_mem_stats().num_gc == first) rt::gc();  // in a trial
  const rt::mem_stats stats = rt::read_mem_stats();
  std::vector<std::int64_t> pauses;
  for (std::uint32_t i = stats.num_gc; i > first && pauses.size() < 256; --i) {
    pauses.push_back(static_cast<std::int64_t>(stats.pause_ns[(i + 255) % 256]));
  }
  return {static_cast<double>(end - start) * 1e-9, static_cast<double>(bench::quantile(pauses, 0.99)) * 1e-3};
}

bench::sample growth_beside(std::uint64_t count, std::size_t soft, std::size_t hard) {
  seen free{};
  {
    const neighbour without_limit(SIZE_MAX, SIZE_MAX);
    free = work(count);
  }
  rt::gc();
  seen limited{};
  {
    const neighbour with_limit(soft, hard);
    const std::uint64_t before = with_limit.times_limited();
    limited = work(count);
    while (with_limit.times_limited() == before) rt::sleep_for(std::chrono::milliseconds(1));  // in a trial
  }
  rt::gc();
  bench::sample found = bench::per_operation(count, static_cast<std::int64_t>(limited.seconds * 1e9));
  found.value = limited.seconds / free.seconds;
  found.details = {{"pause_growth", limited.pause_p99 / free.pause_p99},
                   {"pause_us", limited.pause_p99},
                   {"free_ns", free.seconds * 1e9 / static_cast<double>(count)}};
  return found;
}

}  // namespace

bench::sample soft_limit_beside(std::uint64_t count) { return growth_beside(count, soft_limit, SIZE_MAX); }
bench::sample hard_limit_beside(std::uint64_t count) { return growth_beside(count, SIZE_MAX, hard_limit); }

}  // namespace bench_rt
