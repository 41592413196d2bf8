#include "runtime/sched/scheduler.h"

#include <sys/prctl.h>

#include <system_error>
#include <utility>

#include "runtime/heap/heap.h"
#include "runtime/os/fatal.h"
#include "runtime/os/futex.h"
#include "runtime/sched/clock.h"
#include "runtime/sched/fast_path.h"
#include "runtime/sched/scan_list.h"
#include "runtime/sched/system_monitor.h"
#include "runtime/sched/worker_factory.h"

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
// How long green threads that wake each other may keep the others of their P waiting, in nanoseconds: a slice, as if
// they were one.
constexpr double longest_turn = 10'000'000;

// How many vain wake-ups one theft of a runnext makes up for: more than one, so that a P whose wake-ups are followed by
// thefts goes on waking; few, because a P whose M was off its CPU for a moment is robbed as well.
constexpr std::uint8_t wakes_for_theft = 4;

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

scheduler::scheduler(int procs, std::size_t stack_size, poller& net, bool follow_cpus, int max_threads)
    : default_stack_size_(stack_size),
      net_(&net),
      started_at_(os::nanotime()),
      started_cycles_(os::cycles()),
      lock_wait_cycles_before_(os::lock_wait_cycles()),
      max_threads_(max_threads),
      rest_for_sleep_(first_rest),
      default_group_(""),
      monitor_(std::make_unique<system_monitor>(*this, follow_cpus)),
      factory_(std::make_unique<worker_factory>(*this)) {
  os::cycles_per_nanosecond();  // measured now and not at the first scrape
  stacks().set_kept_part(&kept_descriptor);
  set_user_lookup([]() noexcept -> task_heap* {
    group* caller = current_group();
    return caller == nullptr ? nullptr : &caller->heap;
  });
  for (int i = 0; i < procs; ++i) {
    procs_[i] = std::make_unique<processor>();
    procs_[i]->id = i;
    add_place(*procs_[i], static_cast<std::size_t>(i));
    procs_[i]->timers.set_place(i);
    procs_[i]->alone.store(procs == 1, std::memory_order_relaxed);
    procs_[i]->plain = procs == 1;
    procs_[i]->coarse_now.store(started_at_, std::memory_order_relaxed);
  }
  fair_.set_procs(procs);
  procs_made_.store(procs, std::memory_order_release);  // pairs with proc_limit
  proc_count_.store(procs, std::memory_order_release);  // pairs with proc_count
  os::spin_guard guard(lock_);
  for (int i = procs - 1; i >= 0; --i) release_proc_locked(*procs_[i]);
}

scheduler::~scheduler() {
  for (int i = 0; i < proc_limit(); ++i) {
    give_free_back(*procs_[i]);
    remove_place(*procs_[i]);
  }
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
  if (list.first == nullptr) return;
  if (self != nullptr) os::enter_critical(*self);
  processor* p = self == nullptr ? nullptr : self->usable_proc();
  for (green_thread* one = list.first; one != nullptr;) {
    green_thread* next = one->link;
    one->where.store(phase::runnable, std::memory_order_relaxed);
    // One in 64 is measured, as elsewhere; lists come at no regular ticks.
    std::uint64_t now = os::cycles();
    one->ready_cycles = ((now >> 6) & 63) == 0 ? now : 0;
    if (fair_queue::in_use()) {
      push_by_weight(self, *one);
    } else if (p == nullptr) {
      push_global(*one);
    } else if (!p->ring.push(one)) {
      // Not push_local, which would put those who have waited longest behind all others.
      push_reported(*one);
    }
    one = next;
  }
  list = {};
  std::atomic_thread_fence(std::memory_order_seq_cst);  // invariant 3: publish, then look for spinners
  wake_for_work();
  if (self != nullptr) os::leave_critical(*self);
}

void scheduler::append(green_thread*& first, green_thread*& last, green_thread& one) noexcept {
  one.link = nullptr;
  if (last != nullptr) {
    last->link = &one;
  } else {
    first = &one;
  }
  last = &one;
}

void scheduler::push_overflowing(processor& p, green_thread& one) noexcept {
  do {
    std::array<green_thread*, run_queue::capacity / 2> half;
    std::uint32_t count = p.ring.take_half(half);
    if (count == 0) continue;  // thieves made room
    os::spin_guard guard(lock_);
    for (std::uint32_t i = 0; i < count; ++i) append(global_first_, global_last_, *half[i]);
    global_count_.store(global_count_.load(std::memory_order_relaxed) + count, std::memory_order_seq_cst);
  } while (!p.ring.push(&one));
}

void scheduler::push_global(green_thread& one) noexcept {
  os::spin_guard guard(lock_);
  append(global_first_, global_last_, one);
  // seq_cst: the fence of invariant 3 between publishing here and looking at idle_procs_ and spinning_.
  global_count_.store(global_count_.load(std::memory_order_relaxed) + 1, std::memory_order_seq_cst);
}

void scheduler::push_reported(green_thread& one) noexcept {
  os::spin_guard guard(lock_);
  append(global_first_, global_last_, one);
  std::uint64_t count = global_count_.load(std::memory_order_relaxed) + 1;
  global_count_.store(count, std::memory_order_seq_cst);  // as push_global
  reported_.store(count, std::memory_order_relaxed);      // too many if there are frozen ones: looked for once more
}

green_thread* scheduler::take_global(processor& p, std::uint32_t most) noexcept {
  if (global_count_.load(std::memory_order_seq_cst) == 0) return nullptr;
  if (frozen_count_.load(std::memory_order_relaxed) >= most_frozen) hold_back_first_ones();
  os::spin_guard guard(lock_);
  // The frozen ones and the others take turns; of the latter, those that were held back come last.
  bool frozen_turn = ++global_turn_ % 2 == 0 || global_first_ == nullptr;
  if (green_thread* frozen = frozen_turn ? pop_frozen_locked() : nullptr; frozen != nullptr) return frozen;
  green_thread* first = global_first_;
  if (first == nullptr) {
    first = held_back_first_;
    if (first == nullptr || must_be_held_back(*first)) return nullptr;
    held_back_first_ = first->link;
    if (held_back_first_ == nullptr) held_back_last_ = nullptr;
    global_count_.store(global_count_.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
    return first;
  }
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
  std::uint64_t reported = reported_.load(std::memory_order_relaxed);
  if (reported != 0)
    reported_.store(reported > taken && rest != nullptr ? reported - taken : 0, std::memory_order_relaxed);
  return first;
}

void scheduler::observe_wait(processor& p, green_thread& next) noexcept {
  std::uint64_t now = os::cycles();
  if (next.ended_turn) {  // no sample: that would be one of each such wait
    p.chain.begin(now, next.ready_cycles, os::cycles_per_nanosecond());
    next.ended_turn = false;
    next.ready_cycles = 0;
    return;
  }
  std::uint64_t cycles = now > next.ready_cycles ? now - next.ready_cycles : 0;  // it may have been another core
  auto waited = static_cast<std::uint64_t>(static_cast<double>(cycles) / os::cycles_per_nanosecond());
  next.ready_cycles = 0;
  p.waits.add(waited);
  group::shard& shard = next.member_of.load(std::memory_order_relaxed)->shards[p.id];
  bump(shard.waits);
  bump(shard.wait_nanoseconds, waited);
  p.sample.open(now, p.check_mask);
}

void scheduler::end_sample(processor& p, std::uint64_t now) noexcept {
  std::uint64_t cycles = p.sample.close(now, p.check_mask);
  p.slices.add(static_cast<std::uint64_t>(static_cast<double>(cycles) / os::cycles_per_nanosecond()));
}

void scheduler::account(processor& p, group* next) noexcept {
  std::uint64_t now = os::cycles();
  if (next == nullptr && p.sample.is_open()) end_sample(p, now);  // the green thread leaves for the scheduler's loop
  charge(p, next, now);
}

// Returns how many cycles were charged to the group that ran.
std::uint64_t scheduler::charge(processor& p, group* next, std::uint64_t now) noexcept {
  group* ran = p.running.get();
  if (next != ran) use_heap(p, next == nullptr ? nullptr : &next->heap);
  worker* self = current_worker();
  cpu_time_check* check = self != nullptr && self->p == &p ? &self->cpu_time : nullptr;
  if (ran == nullptr) {
    if (next != nullptr && p.by_weight && next->share.kind.load(std::memory_order_relaxed) == share_class::latency) {
      // Choosing it took time as well: for one that yields at once more than it uses itself, and the class would never
      // come to the end of its budget. What is longer than a look at everything, the P had nothing to do.
      auto longest = static_cast<std::uint64_t>(check_interval * os::cycles_per_nanosecond());
      std::uint64_t since = p.running.since();
      std::uint64_t choosing = now > since ? now - since : 0;
      fair_.charge_latency(choosing < longest ? choosing : longest);
    }
    p.running.move_on(next, now, check == nullptr ? -1 : check->estimate(), nullptr, 0);
    return 0;
  }
  std::uint64_t since = p.running.since();
  std::uint64_t spent = now > since ? now - since : 0;  // cores may differ by some cycles
  bump(p.busy_cycles, spent);
  if (p.by_weight && ran->share.kind.load(std::memory_order_relaxed) == share_class::latency) {
    fair_.charge_latency(spent);
  }
  spent = check != nullptr ? check->deduct(spent) : p.running.spent_on_cpu(spent);
  p.running.move_on(next, now, check == nullptr ? -1 : check->estimate(), &ran->shards[p.id].cycles, spent);
  if (p.by_weight) ran->share.charge(spent);
  return spent;
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
  if (decisions != 0 && !p.is_shuffled()) {
    double slice = static_cast<double>(cycles - p.last_check) / rate / decisions;
    p.check_mask = slice > long_slice ? 0 : slice < short_slice ? 63 : 15;
  }
  p.last_check = cycles;
  p.last_check_tick = tick;
  p.next_check = cycles + static_cast<std::uint64_t>(static_cast<double>(check_interval) * rate);
  if (frozen_count_.load(std::memory_order_relaxed) >= most_frozen) {  // every decision passes through run_worker
    p.check_mask = 0;
    p.next_check = cycles;
  }
  auto longest = static_cast<std::uint64_t>(longest_turn * rate);
  if (p.chain.look(cycles, p.runnext_streak, longest, rate)) p.runnext_streak = most_runnext_in_a_row;
  p.from_global.end(cycles, longest);

  if (p.timers.next() <= now) p.timers.run(now);
  // In a bubble `now` stands still while anything runs, so it cannot say when to look.
  bool look = virtual_time_ != nullptr || now - last_poll_.load(std::memory_order_relaxed) > poll_interval;
  if (look && net_->has_waiters() && !poll_turn_.load(std::memory_order_relaxed)) {
    last_poll_.store(now, std::memory_order_relaxed);
    ready_list ready;
    net_->wait(0, ready);
    make_ready(&self, ready);
  }
  if (p.is_shuffled()) return p.next_in_order() % 4 == 0 ? take_global(p, 1) : nullptr;
  // Each 61st decision since the last time is the global queue's, however seldom a P looks; with long slices, which
  // make few decisions, one of them at each look.
  std::uint64_t waiting = global_count_.load(std::memory_order_relaxed);
  std::uint32_t since = tick - p.last_global_tick;
  std::uint32_t owed = since / global_period;
  if (reported_.load(std::memory_order_relaxed) != 0) {
    // In a busy server the ring never becomes empty: those of both get decisions by their number.
    std::uint64_t each = since * (waiting / static_cast<std::uint64_t>(proc_count())) / (p.ring.size() + 1);
    if (each > owed) owed = each < run_queue::capacity ? static_cast<std::uint32_t>(each) : run_queue::capacity;
  }
  if (owed == 0 && p.check_mask == 0) owed = 1;
  if (owed == 0 || waiting == 0 || !p.from_global.is_due(cycles)) return nullptr;
  p.last_global_tick = tick;
  green_thread* next = take_global(p, owed < run_queue::capacity / 2 ? owed : run_queue::capacity / 2);
  if (next != nullptr) p.from_global.begin(cycles);
  return next;
}

// The green threads that wake each other have had the decisions of a turn.
green_thread* scheduler::end_turn(processor& p) noexcept {
  p.runnext_streak = 0;
  bool alone = p.alone.load(std::memory_order_relaxed);
  if (p.by_weight) {  // the next one in runnext competes (pick_by_weight)
    green_thread* other = p.ring.pop(alone);
    if (other == nullptr) return pick_by_weight(p);
    observe_start(p, *other);
    return other;
  }
  std::uint64_t now = os::cycles();
  bool goes_on = p.ring.size() == 0;  // nobody waits
  if (!goes_on && p.chain.goes_on(now, os::cycles_per_nanosecond())) {
    p.runnext_streak = 1;  // not 0: the turn is the same one
    goes_on = true;
  }
  if (goes_on) return pick_queued(p);
  green_thread* other = p.ring.pop(alone);
  green_thread* kept = p.runnext.exchange(nullptr, std::memory_order_acq_rel);  // against a thief
  if (kept != nullptr) {
    kept->ended_turn = true;
    kept->ready_cycles = now;
    push_local(p, *kept);
    if (!alone) {
      // In runnext it was its P's; in the ring it is work for others, who may have looked before.
      std::atomic_thread_fence(std::memory_order_seq_cst);  // invariant 3: publish, then look for spinners
      wake_for_work();
    }
  }
  if (other == nullptr) return pick_queued(p);  // thieves took what there was
  observe_start(p, *other);
  return other;
}

green_thread* scheduler::find_runnable(worker& self) noexcept {
  while (true) {
    if (green_thread* bound = std::exchange(self.p->bound_next, nullptr); bound != nullptr) {
      if (!stop_requested_.load(std::memory_order_acquire)) return bound;  // pairs with stop_the_world
      bound->where.store(phase::runnable, std::memory_order_relaxed);
      push_global(*bound);
    }
    if (stop_requested_.load(std::memory_order_acquire)) {  // pairs with stop_the_world
      stop_here(self);
      if (self.p == nullptr) return nullptr;
      continue;
    }
    if (shutting_down_.load(std::memory_order_acquire)) return nullptr;  // pairs with shut_down
    processor& p = *self.p;
    p.attention.fetch_and(attention::stop | attention::shuffle, std::memory_order_acquire);  // pairs with run_errand
    if (errand_.load(std::memory_order_relaxed) != nullptr && take_errand(self)) [[unlikely]]
      continue;
    if (p.by_weight || fair_queue::in_use() || fair_.size() != 0) [[unlikely]]
      choose_sharing(p);
    std::int64_t now = runtime_now();
    if (green_thread* next = check_due(self, now); next != nullptr) return next;
    if (green_thread* next = pick_first_class(p); next != nullptr) return next;
    if (green_thread* next = p.is_shuffled() ? pick_shuffled(p) : pick_queued(p); next != nullptr) return next;
    if (green_thread* next = take_global(p, run_queue::capacity / 2); next != nullptr) {
      p.from_global.begin(os::cycles());  // what becomes ready meanwhile goes next, before another one of these
      return next;
    }
    if (net_->has_waiters() && !poll_turn_.load(std::memory_order_relaxed)) {
      last_poll_.store(now, std::memory_order_relaxed);
      ready_list ready;
      net_->wait(0, ready);
      if (ready.first != nullptr) return take_list(self, ready);
    }
    int busy = proc_count() - idle_procs_.load(std::memory_order_relaxed);
    if (!p.alone.load(std::memory_order_relaxed) &&
        (self.spinning || 2 * spinning_.load(std::memory_order_relaxed) < busy)) {
      if (!self.spinning) {
        self.spinning = true;
        spinning_.fetch_add(1, std::memory_order_seq_cst);
      }
      if (green_thread* next = steal(self, now); next != nullptr) return next;
    }
    if (virtual_time_ != nullptr && advance_time(p)) continue;
    if (green_thread* next = wait_for_work(self); next != nullptr) return next;
    if (self.p == nullptr) return nullptr;
  }
}

green_thread* scheduler::take_list(worker& self, ready_list& list) noexcept {
  green_thread* first = list.first;
  list.first = first->link;
  if (list.first == nullptr) list.last = nullptr;
  first->where.store(phase::runnable, std::memory_order_relaxed);
  first->ready_cycles = 0;  // it does not wait
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
        // which is about to wait): leave it 3 us, as Go does, before taking it away from its warm cache. If the owner
        // has come to a decision meanwhile, it runs those that wake each other in turn, and this may be one of them
        // again: not taken.
        std::uint32_t tick = victim.tick.load(std::memory_order_relaxed);
        std::uint64_t until = os::cycles() + static_cast<std::uint64_t>(3'000 * os::cycles_per_nanosecond());
        while (os::cycles() < until) os::cpu_pause();
        if (victim.tick.load(std::memory_order_relaxed) != tick) continue;
        if (victim.runnext.compare_exchange_strong(next, nullptr, std::memory_order_acq_rel)) {
          std::uint8_t vain = victim.vain_wakes.load(std::memory_order_relaxed);
          vain = vain > wakes_for_theft ? static_cast<std::uint8_t>(vain - wakes_for_theft) : std::uint8_t{0};
          victim.vain_wakes.store(vain, std::memory_order_relaxed);
          bump(self.p->steals);
          return next;
        }
      }
    }
    now = runtime_now();
  }
  bump(self.p->steal_failures);
  return nullptr;
}

bool scheduler::work_is_queued() noexcept {
  // Invariant 3, the looking side: what the caller has said (its P is idle, it no longer spins) comes before the looks.
  // A read-modify-write is no fence for the loads behind it, whatever its order.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (global_count_.load(std::memory_order_seq_cst) != 0 || fair_.size() != 0) return true;
  int count = proc_count();
  for (int i = 0; i < count; ++i) {
    // A runnext alone is no reason: its owner runs it next, and a P without owner has none.
    if (procs_[i]->ring.size() != 0) return true;
  }
  return false;
}

bool scheduler::work_can_be_shared() noexcept {
  if (work_is_queued()) return true;
  int count = proc_count();
  for (int i = 0; i < count; ++i) {
    // seq_cst: after the subtraction of spinning_, as make_ready exchanges runnext before it looks at spinning_.
    if (procs_[i]->runnext.load(std::memory_order_seq_cst) != nullptr) return true;
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
    green_thread* next = nullptr;
    if (self.locked.load(std::memory_order_relaxed) != nullptr) [[unlikely]] {
      next = wait_for_locked(self);
    } else {
      // Without a P: its green thread came back from a blocking call and found none.
      if (self.p == nullptr && !sleep_until_handed(self)) return;
      next = find_runnable(self);
    }
    if (next == nullptr) return;
    if (self.spinning) {
      // Invariant 3: the last one that looked and found work makes sure that somebody looks for more.
      self.spinning = false;
      if (spinning_.fetch_sub(1, std::memory_order_seq_cst) == 1 && work_can_be_shared()) wake_for_work();
    }
    if (fair_.has_throttled() && fair_.put_aside(*next)) [[unlikely]] {
      account(*self.p, nullptr);
      continue;
    }
    if (next->bound != nullptr && next->bound != &self) [[unlikely]] {
      pass_to_own_thread(self, *next);
      continue;
    }
    if (frozen_count_.load(std::memory_order_relaxed) >= most_frozen && must_be_held_back(*next)) [[unlikely]] {
      hold_back(*next);
      continue;
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
