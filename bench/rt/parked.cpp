#include <atomic>

#include "bench/rt/rows.h"
#include "rt/chan.h"
#include "rt/go.h"
#include "rt/sync.h"

namespace bench_rt {

// The time until `count` green threads, each started and run up to its receive, are parked; and the memory they take.
bench::sample parked(std::uint64_t count) {
  rt::chan<std::uint64_t> gate;
  rt::wait_group arrived;
  rt::wait_group left;
  std::atomic<std::uint64_t> woken{0};
  rt::go_options options;
  options.stack_size = 64 * 1024;
  arrived.add(static_cast<std::int64_t>(count));
  left.add(static_cast<std::int64_t>(count));
  const std::int64_t start = bench::now_ns();
  for (std::uint64_t i = 0; i < count; ++i) {
    rt::go(options, [&] {
      arrived.done();
      if (!gate.recv()) woken.fetch_add(1, std::memory_order_relaxed);
      left.done();
    });
  }
  arrived.wait();
  const std::int64_t end = bench::now_ns();
  const bench::memory_use memory = bench::read_memory_use();
  gate.close();
  left.wait();
  const std::int64_t ended = bench::now_ns();
  bench::require(woken == count, "not every parked green thread was woken by the close");

  bench::sample found = bench::per_operation(count, end - start);
  found.value = found.seconds;
  found.details = {{"resident_bytes", memory.resident},
                   {"page_table_bytes", memory.page_tables},
                   {"end_seconds", static_cast<double>(ended - end) / 1e9}};
  return found;
}

}  // namespace bench_rt
