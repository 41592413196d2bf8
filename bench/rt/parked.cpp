#include <atomic>
#include <optional>

#include "bench/rt/rows.h"
#include "rt/chan.h"
#include "rt/coroutine.h"
#include "rt/go.h"
#include "rt/sync.h"

namespace bench_rt {

namespace {

struct crowd {
  rt::chan<std::uint64_t> gate;
  rt::wait_group arrived;
  rt::wait_group left;
  std::atomic<std::uint64_t> woken{0};
};

rt::coroutine<> park_in(crowd& all) {
  all.arrived.done();
  std::optional<std::uint64_t> value = co_await rt::async_recv(all.gate);
  if (!value) all.woken.fetch_add(1, std::memory_order_relaxed);
  all.left.done();
}

// The time until `count` of what `start` starts, each run up to its receive, are parked; and the memory they take.
template <class Start>
bench::sample parked_by(std::uint64_t count, const Start& start) {
  crowd all;
  all.arrived.add(static_cast<std::int64_t>(count));
  all.left.add(static_cast<std::int64_t>(count));
  const std::int64_t begin = bench::now_ns();
  for (std::uint64_t i = 0; i < count; ++i) start(all);
  all.arrived.wait();
  const std::int64_t end = bench::now_ns();
  const bench::memory_use memory = bench::read_memory_use();
  all.gate.close();
  all.left.wait();
  const std::int64_t ended = bench::now_ns();
  bench::require(all.woken == count, "not every parked green thread was woken by the close");

  bench::sample found = bench::per_operation(count, end - begin);
  found.value = found.seconds;
  found.details = {{"resident_bytes", memory.resident},
                   {"page_table_bytes", memory.page_tables},
                   {"end_seconds", static_cast<double>(ended - end) / 1e9}};
  return found;
}

}  // namespace

bench::sample parked(std::uint64_t count) {
  rt::go_options options;
  options.stack_size = 64 * 1024;
  return parked_by(count, [options](crowd& all) {
    rt::go(options, [&] {
      all.arrived.done();
      if (!all.gate.recv()) all.woken.fetch_add(1, std::memory_order_relaxed);
      all.left.done();
    });
  });
}

bench::sample stackless(std::uint64_t count) {
  return parked_by(count, [](crowd& all) { rt::go(park_in(all)); });
}

}  // namespace bench_rt
