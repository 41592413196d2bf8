// rt::read_stats: every figure is read where its owner counts it; nothing is stopped and no lock is taken that a green
// thread could hold over a park.
#include <malloc.h>

#include <cstdio>

#include "rt/runtime.h"
#include "runtime/context/stack_pool.h"
#include "runtime/heap/heap.h"
#include "runtime/net/stats.h"
#include "runtime/os/clock.h"
#include "runtime/os/memory.h"
#include "runtime/sched/collection_hook.h"
#include "runtime/sched/scheduler.h"

namespace rt {

namespace {

void add_stacks(runtime_stats& stats, std::uint64_t live) {
  detail::stack_pool& pool = detail::stacks();
  detail::stack_totals totals = pool.totals();
  stats.stack_guard = pool.guards_by_marker() ? guard_kind::guard_install : guard_kind::mprotect;
  stats.stacks_in_use = live < totals.carved ? live : totals.carved;
  stats.stacks_cached = totals.carved - stats.stacks_in_use;  // in the pool and in the Ps' lists
  stats.stack_reserved_bytes = totals.reserved_bytes;
  stats.stack_limit = totals.limit;
  stats.stack_failures_total = totals.failures;
  // Ps keep only slots of the default class; the pool's own are counted by class.
  std::uint64_t in_use_or_with_ps = totals.carved_bytes - totals.cached_bytes;
  std::uint64_t count_with_ps = stats.stacks_cached - totals.cached;
  detail::scheduler* the = detail::the_scheduler();
  std::uint64_t one =
      the == nullptr ? 0 : detail::stack_pool::slot_size(detail::stack_pool::class_of(the->default_stack_size()));
  std::uint64_t with_ps = count_with_ps * one;
  stats.stack_in_use_bytes = in_use_or_with_ps > with_ps ? in_use_or_with_ps - with_ps : 0;
}

void add_histogram(const detail::duration_histogram& from, std::vector<std::uint64_t>& counts, double& sum) {
  for (std::size_t b = 0; b < from.counts.size(); ++b) counts[b] += from.counts[b].load(std::memory_order_relaxed);
  sum += static_cast<double>(from.nanoseconds.load(std::memory_order_relaxed)) * 1e-9;
}

void add_procs(runtime_stats& stats, detail::scheduler& the) {
  double per_cycle = 1e-9 / os::cycles_per_nanosecond();
  stats.run_queue_wait_buckets.assign(detail::duration_buckets, 0);
  stats.slice_buckets.assign(detail::duration_buckets, 0);
  std::uint64_t created = the.counters().created_outside.load(std::memory_order_relaxed);
  std::uint64_t ended = 0;
  int made = the.proc_limit();
  for (int i = 0; i < made; ++i) {
    detail::processor& p = the.proc(i);
    ended += p.ended.load(std::memory_order_relaxed);
  }
  for (int i = 0; i < made; ++i) {
    detail::processor& p = the.proc(i);
    created += p.created.load(std::memory_order_relaxed);
    stats.switches_total += p.switches.load(std::memory_order_relaxed);
    stats.steals_total += p.steals.load(std::memory_order_relaxed);
    stats.steal_failures_total += p.steal_failures.load(std::memory_order_relaxed);
    stats.preemptions_total += p.preemptions.load(std::memory_order_relaxed);
    add_histogram(p.waits, stats.run_queue_wait_buckets, stats.run_queue_wait_seconds_sum);
    add_histogram(p.slices, stats.slice_buckets, stats.slice_seconds_sum);
    stats.mutex_wait_seconds_total +=
        static_cast<double>(p.mutex_wait_cycles.load(std::memory_order_relaxed)) * per_cycle;
    stats.timers += p.timers.size();
    stats.timers_fired_total += p.timers.fired();
    if (i >= stats.procs) continue;
    std::uint64_t queued = p.ring.size() + (p.runnext.load(std::memory_order_relaxed) != nullptr ? 1 : 0);
    stats.local_queue_lengths.push_back(queued);
    stats.runnable += queued;
    stats.busy_seconds_total.push_back(static_cast<double>(p.busy_cycles.load(std::memory_order_relaxed)) * per_cycle);
  }
  stats.runtime_lock_wait_seconds_total =
      static_cast<double>(os::lock_wait_cycles() - the.lock_wait_cycles_before()) * per_cycle;
  stats.created_total = created;
  stats.green_threads = created > ended ? created - ended : 0;
}

}  // namespace

runtime_stats read_stats() {
  runtime_stats stats;
  detail::scheduler* the = detail::the_scheduler();
  if (the == nullptr) {
    add_stacks(stats, 0);
    return stats;
  }
  stats.procs = the->proc_count();
  stats.idle_procs = the->idle_proc_count();
  add_procs(stats, *the);
  detail::scheduler::totals& totals = the->counters();
  stats.global_queue_length = the->global_length() + the->shares().size();
  stats.runnable += stats.global_queue_length;
  stats.blocking =
      totals.blocking_now.load(std::memory_order_relaxed) + totals.retaken_now.load(std::memory_order_relaxed);
  int busy = stats.procs - stats.idle_procs;
  detail::scheduler::thread_counts threads = the->count_threads();
  stats.threads = threads.total;
  stats.threads_idle = threads.idle + threads.polling;
  stats.threads_blocked = threads.blocked;
  stats.threads_spinning = threads.spinning;
  stats.threads_frozen = threads.frozen;
  int others = threads.idle + threads.polling + threads.blocked + threads.frozen;
  stats.threads_running = threads.total > others ? threads.total - others : 0;
  std::uint64_t on_procs = static_cast<std::uint64_t>(busy > threads.spinning ? busy - threads.spinning : 0);
  std::uint64_t not_waiting = stats.runnable + stats.blocking;
  std::uint64_t rest = stats.green_threads > not_waiting ? stats.green_threads - not_waiting : 0;
  stats.running = on_procs < rest ? on_procs : rest;
  stats.waiting = rest - stats.running;
  stats.threads_created_total = totals.threads_created.load(std::memory_order_relaxed);
  stats.threads_ended_total = totals.threads_ended.load(std::memory_order_relaxed);
  stats.threads_refused_total = totals.threads_refused.load(std::memory_order_relaxed);
  stats.preempt_signals_total = totals.signals.load(std::memory_order_relaxed);
  stats.freezes_total = totals.freezes.load(std::memory_order_relaxed);
  stats.retakes_total = totals.retakes.load(std::memory_order_relaxed);
  stats.handoffs_total = totals.handoffs.load(std::memory_order_relaxed);
  stats.preempt_requests_total = totals.preempt_requests.load(std::memory_order_relaxed);
  stats.wakeups_total = totals.wakeups.load(std::memory_order_relaxed);
  stats.stop_the_world_total = totals.stops.load(std::memory_order_relaxed);
  stats.os_lock_parks_total = totals.os_lock_parks.load(std::memory_order_relaxed);
  add_stacks(stats, stats.green_threads);
  net::detail::net_totals net = net::detail::read_net_totals();
  stats.net_descriptors = net.descriptors;
  stats.net_waiting_readers = net.waiting_readers;
  stats.net_waiting_writers = net.waiting_writers;
  stats.net_polls_total = net.polls;
  stats.net_events_total = net.events;
  return stats;
}

const std::vector<double>& sched_duration_bounds() {
  static const std::vector<double> bounds = [] {
    std::vector<double> made;
    double bound = 1e-6;
    for (int i = 0; i < detail::duration_buckets - 1; ++i, bound *= 4) made.push_back(bound);
    return made;
  }();
  return bounds;
}

std::size_t num_green_threads() noexcept {
  detail::scheduler* the = detail::the_scheduler();
  if (the == nullptr) return 0;
  // Ends before beginnings: the difference is never negative.
  std::uint64_t ended = 0;
  std::uint64_t created = 0;
  int made = the->proc_limit();
  for (int i = 0; i < made; ++i) ended += the->proc(i).ended.load(std::memory_order_relaxed);
  for (int i = 0; i < made; ++i) created += the->proc(i).created.load(std::memory_order_relaxed);
  created += the->counters().created_outside.load(std::memory_order_relaxed);
  return created > ended ? created - ended : 0;
}

namespace {

std::uint64_t resident_bytes() {
  std::FILE* file = std::fopen("/proc/self/statm", "re");
  if (file == nullptr) return 0;
  unsigned long total = 0;
  unsigned long resident = 0;
  int read = std::fscanf(file, "%lu %lu", &total, &resident);
  std::fclose(file);
  return read == 2 ? std::uint64_t{resident} * os::page_size() : 0;
}

}  // namespace

released_memory release_memory() {
  released_memory released;
  detail::run_collection_hooks();
  released.stack_bytes = detail::stacks().release_cached();
  released.heap_bytes = detail::release_free_pages();
  std::uint64_t before = resident_bytes();
#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
  malloc_trim(0);  // sanitizers have a malloc of their own, and two threads that are the C library's first would collide
#endif
  std::uint64_t after = resident_bytes();
  released.malloc_bytes = before > after ? before - after : 0;
  return released;
}

}  // namespace rt
