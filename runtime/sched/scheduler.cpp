#include "runtime/sched/scheduler.h"

#include <sys/prctl.h>

#include <system_error>

#include "runtime/os/clock.h"
#include "runtime/os/fatal.h"
#include "runtime/os/futex.h"
#include "runtime/sched/fast_path.h"
#include "runtime/sched/system_monitor.h"

namespace rt::detail {

namespace {

// Every how many decisions the global queue goes first (Go's number: a prime, so that it falls into step with nothing).
constexpr std::uint32_t global_period = 61;
// At least how often timers, poller and global queue are looked at while a P is busy, in nanoseconds.
constexpr std::int64_t check_interval = 20'000;
// At least how often the poller is looked at while all Ps are busy, in nanoseconds (the call costs about 0.5 us).
constexpr std::int64_t poll_interval = 100'000;
// How often a P looks at the cycle counter, which costs half a short slice (13 ns): at each decision when slices are
// longer than long_slice, at every 64th when they are shorter than short_slice, so that check_interval is overrun by
// little; in nanoseconds.
constexpr double long_slice = 1'000;
constexpr double short_slice = 150;

}  // namespace

std::atomic<scheduler*> scheduler_instance{nullptr};

void set_the_scheduler(scheduler* one) noexcept {
  scheduler_instance.store(one, std::memory_order_release);  // pairs with the start of threads, which read it
}

void ready_list::push(green_thread& one) noexcept {
  one.link = nullptr;
  if (last != nullptr) {
    last->link = &one;
  } else {
    first = &one;
  }
  last = &one;
  ++count;
}

scheduler::scheduler(int procs, std::size_t stack_size, poller& net, bool follow_cpus)
    : default_stack_size_(stack_size),
      net_(&net),
      started_at_(os::nanotime()),
      started_cycles_(os::cycles()),
      default_group_(""),
      monitor_(std::make_unique<system_monitor>(*this, follow_cpus)) {
  os::cycles_per_nanosecond();  // measured now and not at the first scrape
  for (int i = 0; i < procs; ++i) {
    procs_[i] = std::make_unique<processor>();
    procs_[i]->id = i;
    procs_[i]->alone = procs == 1;
    procs_[i]->coarse_now.store(started_at_, std::memory_order_relaxed);
  }
  procs_made_.store(procs, std::memory_order_release);  // pairs with proc_limit
  proc_count_.store(procs, std::memory_order_release);  // pairs with proc_count
  os::spin_guard guard(lock_);
  for (int i = procs - 1; i >= 0; --i) release_proc_locked(*procs_[i]);
}

scheduler::~scheduler() {
  worker* one = nullptr;
  {
    os::spin_guard guard(lock_);
    one = all_workers_;
  }
  while (one != nullptr) {
    worker* next = one->all_link;
    delete one;
    one = next;
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// Queues

void scheduler::make_ready(worker* self, ready_list& list) noexcept {
  bool any = list.first != nullptr;
  for (green_thread* one = list.first; one != nullptr;) {
    green_thread* next = one->link;
    one->where.store(phase::runnable, std::memory_order_relaxed);
    one->ready_cycles = 0;
    if (self != nullptr && self->p != nullptr) {
      push_local(*self->p, *one);
    } else {
      push_global(*one);
    }
    one = next;
  }
  list = {};
  if (any) {
    std::atomic_thread_fence(std::memory_order_seq_cst);  // invariant 3: publish, then look for spinners
    wake_for_work();
  }
}

void scheduler::push_overflowing(processor& p, green_thread& one) noexcept {
  do {
    std::array<green_thread*, run_queue::capacity / 2> half;
    std::uint32_t count = p.ring.take_half(half);
    if (count == 0) continue;  // thieves made room
    os::spin_guard guard(lock_);
    for (std::uint32_t i = 0; i < count; ++i) {
      half[i]->link = nullptr;
      if (global_last_ != nullptr) {
        global_last_->link = half[i];
      } else {
        global_first_ = half[i];
      }
      global_last_ = half[i];
    }
    global_count_.store(global_count_.load(std::memory_order_relaxed) + count, std::memory_order_seq_cst);
  } while (!p.ring.push(&one));
}

void scheduler::push_global(green_thread& one) noexcept {
  one.link = nullptr;
  os::spin_guard guard(lock_);
  if (global_last_ != nullptr) {
    global_last_->link = &one;
  } else {
    global_first_ = &one;
  }
  global_last_ = &one;
  // seq_cst: the fence of invariant 3 between publishing here and looking at idle_procs_ and spinning_.
  global_count_.store(global_count_.load(std::memory_order_relaxed) + 1, std::memory_order_seq_cst);
}

green_thread* scheduler::take_global(processor& p, std::uint32_t most) noexcept {
  if (global_count_.load(std::memory_order_seq_cst) == 0) return nullptr;
  os::spin_guard guard(lock_);
  green_thread* first = global_first_;
  if (first == nullptr) return nullptr;
  std::uint64_t share = global_count_.load(std::memory_order_relaxed) / static_cast<std::uint64_t>(proc_count()) + 1;
  std::uint32_t wanted = share < most ? static_cast<std::uint32_t>(share) : most;
  std::uint32_t taken = 1;
  green_thread* rest = first->link;
  while (rest != nullptr && taken < wanted) {
    green_thread* next = rest->link;
    if (!p.ring.push(rest)) break;
    rest = next;
    ++taken;
  }
  global_first_ = rest;
  if (rest == nullptr) global_last_ = nullptr;
  global_count_.store(global_count_.load(std::memory_order_relaxed) - taken, std::memory_order_relaxed);
  return first;
}

void scheduler::observe_wait(processor& p, green_thread& next) noexcept {
  auto waited =
      static_cast<std::uint64_t>(static_cast<double>(os::cycles() - next.ready_cycles) / os::cycles_per_nanosecond());
  next.ready_cycles = 0;
  int bucket = 0;
  for (std::uint64_t bound = 1000; bucket < wait_buckets - 1 && waited > bound; bound *= 4) ++bucket;
  bump(p.wait_histogram[bucket]);
  bump(p.wait_nanoseconds, waited);
}

void scheduler::account(processor& p, group* next) noexcept {
  std::uint64_t now = os::cycles();
  if (p.accounted_group != nullptr) {
    std::uint64_t spent = now - p.accounted_cycles;
    bump(p.accounted_group->shards[p.id].cycles, spent);
    bump(p.busy_cycles, spent);
  }
  p.accounted_group = next;
  p.accounted_cycles = now;
}

// ---------------------------------------------------------------------------------------------------------------------
// Finding work

// What is served at least every check_interval, before anything local.
green_thread* scheduler::check_due(worker& self, std::int64_t now) noexcept {
  processor& p = *self.p;
  p.coarse_now.store(now, std::memory_order_relaxed);
  std::uint64_t cycles = os::cycles();
  std::uint32_t tick = p.tick.load(std::memory_order_relaxed);
  double rate = os::cycles_per_nanosecond();
  std::uint32_t decisions = tick - p.last_check_tick;
  if (decisions != 0) {
    double slice = static_cast<double>(cycles - p.last_check) / rate / decisions;
    p.check_mask = slice > long_slice ? 0 : slice < short_slice ? 63 : 15;
  }
  p.last_check = cycles;
  p.last_check_tick = tick;
  p.next_check = cycles + static_cast<std::uint64_t>(static_cast<double>(check_interval) * rate);

  if (p.timers.next() <= now) p.timers.run(now);
  if (now - last_poll_.load(std::memory_order_relaxed) > poll_interval && net_->has_waiters() &&
      !poll_turn_.load(std::memory_order_relaxed)) {
    last_poll_.store(now, std::memory_order_relaxed);
    ready_list ready;
    net_->wait(0, ready);
    make_ready(&self, ready);
  }
  // With long slices the global queue and the own one take turns; every 61st decision would be far too seldom.
  if (tick % global_period == 0 || (p.check_mask == 0 && tick % 2 == 0)) return take_global(p, 1);
  return nullptr;
}

green_thread* scheduler::find_runnable(worker& self) noexcept {
  while (true) {
    if (stop_requested_.load(std::memory_order_acquire)) {  // pairs with stop_the_world
      stop_here(self);
      if (self.p == nullptr) return nullptr;
      continue;
    }
    if (shutting_down_.load(std::memory_order_acquire)) return nullptr;  // pairs with shut_down
    processor& p = *self.p;
    p.attention.fetch_and(attention::stop, std::memory_order_relaxed);
    std::int64_t now = os::nanotime();
    if (green_thread* next = check_due(self, now); next != nullptr) return next;
    if (green_thread* next = pick_queued(p); next != nullptr) return next;
    if (green_thread* next = take_global(p, run_queue::capacity / 2); next != nullptr) return next;
    if (net_->has_waiters() && !poll_turn_.load(std::memory_order_relaxed)) {
      last_poll_.store(now, std::memory_order_relaxed);
      ready_list ready;
      net_->wait(0, ready);
      if (ready.first != nullptr) return take_list(self, ready);
    }
    int busy = proc_count() - idle_procs_.load(std::memory_order_relaxed);
    if (!p.alone && (self.spinning || 2 * spinning_.load(std::memory_order_relaxed) < busy)) {
      if (!self.spinning) {
        self.spinning = true;
        spinning_.fetch_add(1, std::memory_order_seq_cst);
      }
      if (green_thread* next = steal(self, now); next != nullptr) return next;
    }
    if (green_thread* next = wait_for_work(self); next != nullptr) return next;
    if (self.p == nullptr) return nullptr;
  }
}

green_thread* scheduler::take_list(worker& self, ready_list& list) noexcept {
  green_thread* first = list.first;
  list.first = first->link;
  if (list.first == nullptr) list.last = nullptr;
  first->where.store(phase::runnable, std::memory_order_relaxed);
  first->ready_cycles = 0;
  make_ready(&self, list);
  return first;
}

green_thread* scheduler::steal(worker& self, std::int64_t& now) noexcept {
  constexpr int passes = 4;
  int count = proc_count();
  for (int pass = 0; pass < passes; ++pass) {
    auto start = static_cast<int>(self.next_random() % static_cast<std::uint32_t>(count));
    for (int i = 0; i < count; ++i) {
      if (stop_requested_.load(std::memory_order_relaxed)) return nullptr;
      processor& victim = *procs_[(start + i) % count];
      if (&victim == self.p) continue;
      if (pass == passes - 1 && victim.timers.next() <= now) {
        // The victim is busy with a long slice: its timers are run here. What they wake goes to this P.
        victim.timers.run(now);
        if (green_thread* next = pick_queued(*self.p); next != nullptr) return next;
      }
      if (victim.idle.load(std::memory_order_relaxed)) continue;
      if (green_thread* next = victim.ring.steal_into(self.p->ring); next != nullptr) {
        bump(self.p->steals);
        return next;
      }
      if (pass == passes - 1) {
        green_thread* next = victim.runnext.load(std::memory_order_acquire);
        if (next == nullptr) continue;
        // Its owner is likely to run it within nanoseconds (it has just been woken by the green thread that runs there,
        // which is about to wait): leave it 3 us, as Go does, before taking it away from its warm cache.
        std::uint64_t until = os::cycles() + static_cast<std::uint64_t>(3'000 * os::cycles_per_nanosecond());
        while (os::cycles() < until) os::cpu_pause();
        if (victim.runnext.compare_exchange_strong(next, nullptr, std::memory_order_acq_rel)) {
          bump(self.p->steals);
          return next;
        }
      }
    }
    now = os::nanotime();
  }
  bump(self.p->steal_failures);
  return nullptr;
}

bool scheduler::work_is_queued() noexcept {
  if (global_count_.load(std::memory_order_seq_cst) != 0) return true;
  int count = proc_count();
  for (int i = 0; i < count; ++i) {
    // A runnext alone is no reason: its owner runs it next, and a P without owner has none.
    if (procs_[i]->ring.size() != 0) return true;
  }
  return false;
}

std::int64_t scheduler::earliest_timer() noexcept {
  std::int64_t earliest = INT64_MAX;
  int count = proc_count();
  for (int i = 0; i < count; ++i) {
    std::int64_t one = procs_[i]->timers.next();
    if (one < earliest) earliest = one;
  }
  return earliest;
}

// ---------------------------------------------------------------------------------------------------------------------
// The loop of an M

void scheduler::run_worker(worker& self) noexcept {
  while (true) {
    if (self.p == nullptr) {  // its green thread came back from rt::blocking and found no P
      sleep_until_handed(self);
      if (self.p == nullptr) return;
    }
    green_thread* next = find_runnable(self);
    if (next == nullptr) return;
    if (self.spinning) {
      // Invariant 3: the last one that looked and found work makes sure that somebody looks for more.
      self.spinning = false;
      if (spinning_.fetch_sub(1, std::memory_order_seq_cst) == 1) wake_for_work();
    }
    if (next->where.load(std::memory_order_relaxed) != phase::running) observe_start(*self.p, *next);
    self.current = next;
    switch_context(self.base, next->flow);
    // Before finish_switch may count the end of the last green thread of a group: the group may be gone after that.
    if (self.p != nullptr) account(*self.p, nullptr);
    finish_switch(self);
  }
}

}  // namespace rt::detail
