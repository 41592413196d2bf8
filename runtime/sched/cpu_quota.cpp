// The CPU quota of a group: so much CPU time for each period of 100 ms of the clock, as the kernel's cpu.max gives it
// to a control group. A group that has used it is throttled: none of its green threads is run until a period begins in
// which it has something left. What it used beyond its quota, before it was noticed, is taken off the next periods;
// what it did not use is lost. So over some periods it gets its quota, whatever it does.
//
// A quota is a setting like a weight: while a group has one, all groups share by weight (fair_queue.h), and a group
// that is throttled is just not among those that the fair queue chooses from. Nothing is counted for it at a switch:
// the system monitor looks once a millisecond, while a P is busy, at those with a quota that run, and at the end of
// each period at all of them, and reads what the groups' CPU time is anyway (cpu_time.h).
//
// Who is running when its group is throttled is preempted as after a slice (system_monitor.cpp), a loop without calls
// by its signal. Who is chosen meanwhile, from the ring of a P or from wherever it was queued, is put aside before it
// runs (scheduler::run_worker, pick_local).
//
// Invariants
//   1 A group that is throttled is in no heap, and its green threads are not counted by size(): a P that sees nothing
//     else goes idle.
//   2 Only the monitor throttles, and only it ends that, but for a change of the quota. So it does not sleep for longer
//     than until the end of the period while any group is throttled.
//   3 A group is in the list of quotas from set_quota() until its quota is taken away, at the latest at its end; both
//     under the lock, under which the monitor reads its CPU time.
//
// Rejected
//   - Charging each slice to the quota when it ends: a loop has no end of its slice while nobody else wants the P, so
//   the
//     monitor would have to look all the same; and it costs a shared cache line at each change of group.
//   - Parts of the quota for each P, as the kernel has them: with a look each millisecond there is nothing to share.
//   - Slowing the group down by its weight: beside nobody a weight of 1 is all of the CPU.
//
// What it costs: a green thread that holds a lock of the system (malloc's, say) when its group is throttled holds it
// until the next period, as a thread in a throttled control group does. longest_debt bounds that.
#include "runtime/sched/cpu_quota.h"

#include <algorithm>
#include <array>

#include "runtime/os/clock.h"
#include "runtime/sched/scheduler.h"

namespace rt::detail {

namespace {

// The kernel's default for cpu.max, in nanoseconds.
constexpr std::int64_t period = 100'000'000;
// What is used beyond the quota is forgiven beyond so many periods, so that nobody is throttled for much more than a
// second, however late the monitor was.
constexpr double longest_debt = 10;

double cycles_per_period(double cpus) noexcept {
  return cpus * static_cast<double>(period) * os::cycles_per_nanosecond();
}

}  // namespace

void fair_queue::throttle_locked(group_share& share, std::int64_t now) noexcept {
  cpu_quota& quota = share.quota;
  quota.throttled.store(true, std::memory_order_relaxed);
  quota.throttled_since.store(now, std::memory_order_relaxed);
  quota.throttles.fetch_add(1, std::memory_order_relaxed);
  throttled_.fetch_add(1, std::memory_order_relaxed);
  if (share.first == nullptr) return;
  heap_of(share).remove(share);
  size_.store(size_.load(std::memory_order_relaxed) - share.waiting, std::memory_order_relaxed);
  if (share.kind.load(std::memory_order_relaxed) == share_class::latency) {
    latency_size_.store(latency_size_.load(std::memory_order_relaxed) - share.waiting, std::memory_order_relaxed);
  }
}

void fair_queue::end_throttling_locked(group_share& share, std::int64_t now) noexcept {
  cpu_quota& quota = share.quota;
  const std::int64_t since = quota.throttled_since.exchange(0, std::memory_order_relaxed);
  quota.throttled_nanoseconds.fetch_add(static_cast<std::uint64_t>(std::max<std::int64_t>(now - since, 0)),
                                        std::memory_order_relaxed);
  quota.throttled.store(false, std::memory_order_relaxed);
  throttled_.fetch_sub(1, std::memory_order_relaxed);
  if (share.first == nullptr) return;
  enqueue_locked(share);
  if (share.kind.load(std::memory_order_relaxed) == share_class::latency) {
    latency_size_.store(latency_size_.load(std::memory_order_relaxed) + share.waiting, std::memory_order_relaxed);
  }
  // seq_cst: invariant 3 of scheduler.h, as in push.
  size_.store(size_.load(std::memory_order_relaxed) + share.waiting, std::memory_order_seq_cst);
}

void fair_queue::set_quota(group& of, double cpus) noexcept {
  group_share& share = of.share;
  const std::uint64_t used = of.cycles();
  const std::int64_t now = os::nanotime();
  os::spin_guard guard(lock_);
  cpu_quota& quota = share.quota;
  const bool was_special = !share.is_default();
  if (quota.throttled.load(std::memory_order_relaxed)) end_throttling_locked(share, now);
  const bool had = quota.of != nullptr;
  quota.cpus.store(cpus, std::memory_order_relaxed);
  quota.left = cycles_per_period(cpus);
  if (!had && cpus > 0) {
    quota.of = &of;
    quota.used = used;
    quota.previous = nullptr;
    quota.next = quotas_;
    if (quotas_ != nullptr) quotas_->quota.previous = &share;
    quotas_ = &share;
    quota_count_.fetch_add(1, std::memory_order_relaxed);
  } else if (had && cpus <= 0) {
    (quota.previous == nullptr ? quotas_ : quota.previous->quota.next) = quota.next;
    if (quota.next != nullptr) quota.next->quota.previous = quota.previous;
    quota.of = nullptr;
    quota_count_.fetch_sub(1, std::memory_order_relaxed);
  }
  count_special(was_special, !share.is_default());
}

void fair_queue::forget_quota(group_share& share) noexcept {
  const bool was_special = !share.is_default();
  share.quota.cpus.store(0, std::memory_order_relaxed);
  share.quota.of = nullptr;
  count_special(was_special, !share.is_default());
}

bool fair_queue::put_aside(green_thread& one) noexcept {
  group_share& share = one.member_of.load(std::memory_order_relaxed)->share;
  if (!share.quota.throttled.load(std::memory_order_relaxed)) return false;
  os::spin_guard guard(lock_);
  if (!share.quota.throttled.load(std::memory_order_relaxed)) return false;
  one.where.store(phase::runnable, std::memory_order_relaxed);
  append_locked(share, one);
  return true;
}

std::int64_t fair_queue::time_to_next_period(std::int64_t now) noexcept {
  if (throttled_.load(std::memory_order_relaxed) == 0) return -1;
  os::spin_guard guard(lock_);
  return period_end_ > now ? period_end_ - now : 0;
}

bool fair_queue::enforce_quotas(std::int64_t now, std::span<quota_watch> procs) noexcept {
  bool let_go = false;
  os::spin_guard guard(lock_);
  std::int64_t periods = 0;
  if (now >= period_end_) {
    periods = (now - period_end_) / period + 1;
    period_end_ += periods * period;
  }
  for (group_share* share = quotas_; share != nullptr; share = share->quota.next) {
    cpu_quota& quota = share->quota;
    const bool runs =
        std::any_of(procs.begin(), procs.end(), [&](const quota_watch& p) { return p.running == quota.of; });
    if (!runs && periods == 0) continue;
    if (const std::uint64_t used = quota.of->cycles(); used > quota.used) {
      quota.left -= static_cast<double>(used - quota.used);
      quota.used = used;
    }
    const double each = cycles_per_period(quota.cpus.load(std::memory_order_relaxed));
    if (periods != 0) {
      quota.left = std::clamp(quota.left + static_cast<double>(periods) * each, -longest_debt * each, each);
    }
    const bool is_throttled = quota.throttled.load(std::memory_order_relaxed);
    if (quota.left > 0) {
      if (!is_throttled) continue;
      end_throttling_locked(*share, now);
      let_go = true;
      continue;
    }
    if (!is_throttled) {
      throttle_locked(*share, now);
      quota.of->limits.add(*quota.of, limit_kind::cpus);
    }
    for (quota_watch& p : procs) p.is_over |= p.running == quota.of;
  }
  return let_go;
}

// The monitor's look. Afterwards each P knows whether what runs there is over its quota.
void scheduler::enforce_quotas(std::int64_t now) noexcept {
  if (!fair_.has_quotas()) return;
  std::array<quota_watch, most_procs> seen{};
  const auto count = static_cast<std::size_t>(proc_count());
  for (std::size_t i = 0; i < count; ++i) seen[i].running = procs_[i]->running.get();
  const bool let_go = fair_.enforce_quotas(now, std::span(seen).first(count));
  for (std::size_t i = 0; i < count; ++i) procs_[i]->over_quota = seen[i].is_over;
  if (let_go) wake_for_work();
}

void group::set_cpu_quota(double cpus) noexcept {
  if (share.quota.cpus.load(std::memory_order_relaxed) == cpus) return;
  if (scheduler* the = the_scheduler(); the != nullptr) {
    the->shares().set_quota(*this, cpus);
    the->wake_for_work();  // it may have been throttled
  } else if (cpus <= 0) {
    fair_queue::forget_quota(share);
  }
}

throttling group::throttled() const noexcept {
  std::uint64_t nanoseconds = share.quota.throttled_nanoseconds.load(std::memory_order_relaxed);
  if (const std::int64_t since = share.quota.throttled_since.load(std::memory_order_relaxed); since != 0) {
    nanoseconds += static_cast<std::uint64_t>(std::max<std::int64_t>(os::nanotime() - since, 0));
  }
  return {static_cast<double>(nanoseconds) * 1e-9, share.quota.throttles.load(std::memory_order_relaxed)};
}

}  // namespace rt::detail
