// What the model of bench/simulation is compared with: its first two workloads on the real scheduler.
#include <algorithm>
#include <memory>

#include "bench/rt/rows.h"
#include "rt/go.h"
#include "rt/runtime.h"
#include "rt/sync.h"

namespace bench_rt {

namespace {

void work_for(std::int64_t nanoseconds) {
  const std::int64_t until = bench::now_ns() + nanoseconds;
  while (bench::now_ns() < until) {
  }
}

// The time that all processors took together, as a multiple of the tasks' own work: the mean of some runs after one
// that gets the stacks and wakes the kernel threads.
template <class Run>
bench::sample as_multiple_of_work(std::uint64_t tasks, std::int64_t work_each, Run run) {
  constexpr std::uint64_t runs = 20;
  run();
  const std::int64_t start = bench::now_ns();
  for (std::uint64_t i = 0; i < runs; ++i) run();
  bench::sample found = bench::per_operation(runs * tasks, bench::now_ns() - start);
  found.value = found.value * rt::max_procs() / static_cast<double>(work_each);
  return found;
}

void tree(rt::wait_group& parent, std::uint64_t leaves, std::int64_t work_each) {
  if (leaves == 1) {
    work_for(work_each);
  } else {
    rt::wait_group children;
    for (std::uint64_t part : {leaves / 2, leaves - leaves / 2}) {
      children.add(1);
      rt::go([&children, part, work_each] { tree(children, part, work_each); });
    }
    children.wait();
  }
  parent.done();
}

}  // namespace

bench::sample model_spawner(std::uint64_t count) {
  constexpr std::int64_t work_each = 10'000;
  return as_multiple_of_work(count, work_each, [count] {
    rt::wait_group group;
    for (std::uint64_t i = 0; i < count; ++i) group.go([] { work_for(work_each); });
    group.wait();
  });
}

bench::sample model_tree(std::uint64_t count) {
  constexpr std::int64_t work_each = 2'000;
  return as_multiple_of_work(count, work_each, [count] {
    rt::wait_group root;
    root.add(1);
    rt::go([&root, count] { tree(root, count, work_each); });
    root.wait();
  });
}

}  // namespace bench_rt
