// The collector: concurrent, parallel, non-moving mark and sweep.
//
// A cycle:
//   1 Sweeping of the last cycle is completed.
//   2 A short stop. The caches of the heap are emptied, from here on objects are marked when they are allocated, and
//     rt::ref tells the barrier what it overwrites and what it stores. Who was stopped by a signal is scanned at once,
//     and so is, as far as some microseconds allow, who ran until it made way: what only those refer to is found by no
//     scan of a parked stack, and would else be found by the last stop, unmarked with all that it leads to.
//   3 Marking, while everything runs: rt::root's slots, the data of the program and its plugins, and the stacks of
//     parked green threads, each of which is claimed for the length of its scan (sched/park_word.h). Who is not parked,
//     and who is woken or started after that, is noted (sched/scan_list.h).
//   4 A short stop, when nothing is left to look into, not even by a green thread that helps. Everybody noted is
//     scanned, and what that finds is marked. If that is much, the world goes on and so does step 3; after a few such
//     attempts it is finished in the stop. Otherwise the heap is told that marking is over: what has no mark is free.
//   5 Sweeping, span by span: by whoever needs a span's slots, and by this thread.
//
// The length of the stops. While everything stands still nothing is done that could be done before or after: figures
// are read and owners told while marking goes on, lists are emptied afterwards. What is left grows with the number of
// Ps, in the first stop with the spans that caches have open, for each task on each P, and in the last with the green
// threads that run or wait in a run queue: not with the heap, and not with the green threads that are parked. How long
// it takes until all have stopped is told in sched/stop_the_world.cpp. A deep stack among those is shared out in
// pieces.
//
// Why no reachable object is lost. Let marking be over: (a) all roots and all marked objects have been looked into;
// (b) whatever was stored meanwhile was shaded before it was stored, whoever stored it and wherever (insertion). So an
// object or a root that was looked into early cannot have got an unmarked object since. What the barrier does not see
// are stacks and registers: (c) a parked stack does not change, and all others are scanned in the stop, at which point
// they can only have come by what is reachable. (d) A barrier's test that was made before the barrier was on, or a look
// at the marks (heap.cpp) that was made in the cycle before: its value is in a register or on the stack of whoever made
// it. If that one runs with a P it comes to the store before it stops, or is stopped by a signal in between and scanned
// in the first stop; if it runs without one it is held and scanned as well.
//
// Invariants
//   1 gc_marking changes only while the world is stopped and those outside are held.
//   2 An object that was allocated since step 2 is marked.
//   3 A marked object of a kind that is scanned is in a queue, is being looked into, or has been.
//   4 Marking happens in critical sections, on the collector's own threads, or in a stop in the loop of the M that
//   makes
//     it (sched/stop_errand.cpp), which then has member 0's queue: nobody is frozen with a queue of his.
//   5 While the world is stopped the collector calls no malloc and takes no lock but the runtime's spin locks, whose
//     holders are never frozen.
//   6 A cycle begins when the sweeping of the last one is complete.
//
// The races by name. *Hidden by the reader*: a green thread reads a reference from an object not yet looked into,
// clears it there, and keeps it on its stack, which was scanned: the barrier shades what is overwritten (deletion), and
// the stack is scanned once more in the stop. Either would do in a program that keeps the rules; each covers what the
// other cannot see: a destructor or a union that overwrites without a barrier, a raw pointer that is stored where a
// reference should be. *Wake during the scan*: park_word.h. *Start during the cycle*: spawn.cpp notes it; a closure
// counts from before it is made. *Handed over by a channel*: the sender writes into the receiver's frame before it
// wakes it, and the wake notes it. *End with work in a queue*: an allocating green thread that helps has objects of its
// own until it leaves its critical section, which the stop waits for; so that these are not left to the stop, the team
// waits for helpers before it asks for one. *Allocated before the figures*: figures are read while the world runs, so
// what caches are handed from then to the stop is added in it, and what an owner allocates between the stop and its
// note counts as found by this marking: the next one tells what became of it.
//
// Rejected: a barrier on deletion alone (a library cannot see every deletion); scanning each stack once and for all (a
// raw pointer in a local variable may be overwritten by another green thread that has the variable by reference);
// green threads as markers (they would be frozen, counted in deadlock detection and time, stopped by the stop that they
// serve; see mark_team.h); a start without a stop (it would have to hold everybody's attention one after the other, and
// the stop costs what that costs); generations (measured again and again for Go: the barrier that is always on costs
// more than they save).
#include "runtime/gc/collector.h"

#include <new>
#include <utility>

#include "rt/blocking.h"
#include "runtime/gc/allocation_trace.h"
#include "runtime/gc/attachments.h"
#include "runtime/gc/may_park.h"
#include "runtime/gc/reference_path.h"
#include "runtime/gc/slot_check.h"
#include "runtime/os/clock.h"
#include "runtime/os/fatal.h"
#include "runtime/os/futex.h"
#include "runtime/os/memory.h"
#include "runtime/os/thread.h"
#include "runtime/os/thread_census.h"

namespace rt::detail {

namespace {

// A cycle at least so often, in nanoseconds: Go's.
constexpr std::int64_t period = 120'000'000'000;

constexpr std::size_t place_of_others = most_procs;

// What a cycle is counted as that several have asked for.
cycle_cause weightiest(std::uint32_t causes) noexcept {
  for (cycle_cause one : {cycle_cause::forced, cycle_cause::task_limit, cycle_cause::task_end}) {
    if ((causes >> static_cast<unsigned>(one) & 1) != 0) return one;
  }
  return cycle_cause::growth;
}

}  // namespace

struct collector::waiter {
  green_thread* who;
  std::uint64_t until;
  bool told = false;
  waiter* next;
};

collector& the_collector() noexcept {
  static constinit collector one;
  return one;
}

// ---------------------------------------------------------------------------------------------------------------------
// Beginning and end of a run

void collector::begin_run(root_range host_stack, const os::debug_options& options) noexcept {
  host_stack_ = host_stack;
  options_ = options;
  if (places_ == nullptr) {
    void* memory = os::reserve(sizeof(place) * (most_procs + 1), alignof(place), "rt: barriers");
    if (memory == nullptr) os::fatal("the system has no memory for the collector");
    places_ = static_cast<place*>(memory);
    for (std::size_t i = 0; i <= place_of_others; ++i) ::new (places_ + i) place(pool_);
    static collector_hooks hooks{
        .before_refill = [](heap_owner& user, std::size_t bytes) { the_collector().before_refill(user, bytes); },
        .at_limit = [](heap_owner& user, std::size_t, int attempt) { return the_collector().at_limit(user, attempt); },
        .barrier = [](const void* old_value,
                      const void* new_value) noexcept { the_collector().barrier(old_value, new_value); },
        .sweep_attachments = &sweep_attachments,
        .task_ended = [](std::size_t bytes) noexcept { the_collector().task_ended(bytes); },
        .drop_attachments = &drop_attachments,
        .check_slot = &check_slot,
    };
    if (options_.trace_allocations) {
      hooks.allocated = &trace_allocation;
      hooks.freed = &trace_free;
    }
    set_collector_hooks(hooks);
  }
  if (options_.stress_every != 0 || options_.trace_allocations || options_.no_reuse) set_single_slot_runs(true);
  if (options_.no_reuse) set_no_reuse(true);
  if (options_.poison_dead) set_fill_of_dead(true);
  set_heap_checks(options_.check_heap);
  set_slot_checks(options_.check_slots);
  last_end_ = os::nanotime();
  if (first_begin_ == 0) first_begin_ = last_end_;
  {
    os::spin_guard guard(pace_lock_);
    limiter_.reset(last_end_, the_scheduler()->proc_count());
    told_at_ = last_end_;
    told_cpu_ = all_assist_time_;  // the team is a new one
  }
  // The last run may have ended before these were answered.
  asked_.store(false, std::memory_order_relaxed);
  causes_.store(0, std::memory_order_relaxed);
  served_ = wanted_.load(std::memory_order_relaxed);
  ending_.store(false, std::memory_order_relaxed);
  accepts_.store(true, std::memory_order_release);  // pairs with ensure_thread
}

void collector::end_run() noexcept {
  accepts_.store(false, std::memory_order_seq_cst);
  // seq_cst with ensure_thread: either it sees that, or its thread is seen here.
  while (thread_state_.load(std::memory_order_seq_cst) == thread_state::starting) {
    os::futex_wait(turns_, turns_.load(std::memory_order_relaxed), 100'000);
  }
  if (thread_state_.load(std::memory_order_acquire) != thread_state::running) return;
  ending_.store(true, std::memory_order_relaxed);
  wanted_.fetch_add(1, std::memory_order_release);  // pairs with serve
  os::futex_wake(wanted_, 1);
  pthread_join(thread_, nullptr);
  thread_state_.store(thread_state::none, std::memory_order_relaxed);
}

bool collector::ensure_thread() noexcept {
  if (!accepts_.load(std::memory_order_relaxed)) return false;
  if (thread_state_.load(std::memory_order_acquire) == thread_state::running) return true;
  thread_state none = thread_state::none;
  if (!thread_state_.compare_exchange_strong(none, thread_state::starting, std::memory_order_seq_cst)) {
    return true;  // it is on its way, and looks at what is wanted first
  }
  bool starts = accepts_.load(std::memory_order_seq_cst) && os::start_thread(thread_, &thread_main, this);
  thread_state_.store(starts ? thread_state::running : thread_state::none, std::memory_order_release);
  return starts;
}

void* collector::thread_main(void* argument) noexcept {
  os::own_thread counted;
  os::prepare_worker_thread("rt-gc");
  static_cast<collector*>(argument)->serve();
  return nullptr;
}

void collector::serve() noexcept {
  mark_team team(pool_);
  team_ = &team;
  std::uint32_t done = served_;
  while (true) {
    std::uint32_t wanted = wanted_.load(std::memory_order_acquire);  // pairs with request and end_run
    if (ending_.load(std::memory_order_relaxed)) break;
    cycle_cause cause = cycle_cause::growth;
    if (wanted == done) {
      std::int64_t since = os::nanotime() - last_end_;
      if (since < period && os::futex_wait(wanted_, wanted, period - since)) continue;
      if (wanted_.load(std::memory_order_relaxed) != wanted || os::nanotime() - last_end_ < period) continue;
      cause = cycle_cause::period;
    } else {
      cause = weightiest(causes_.exchange(0, std::memory_order_relaxed));
    }
    done = served_ = wanted;
    run_cycle(cause);
    tell_waiters();
  }
  tell_waiters();
  team_ = nullptr;
}

// ---------------------------------------------------------------------------------------------------------------------
// Asking for cycles

void collector::request(cycle_cause cause) noexcept {
  causes_.fetch_or(1U << static_cast<unsigned>(cause), std::memory_order_relaxed);
  wanted_.fetch_add(1, std::memory_order_release);  // pairs with serve
  if (!ensure_thread()) {
    asked_.store(false, std::memory_order_relaxed);  // no run, or no thread to be had: again at the next refill
    return;
  }
  os::futex_wake(wanted_, 1);
}

void collector::collect(cycle_cause cause) noexcept {
  if (!accepts_.load(std::memory_order_relaxed)) return;
  // A cycle that is under way may have looked already at what the caller has let go of.
  std::uint64_t until = started_.load(std::memory_order_seq_cst) + 1;
  request(cause);
  green_thread* self = current_green_thread();
  // Where the system has no memory for the collector's thread, nobody would ever wake who parks.
  const bool is_served =
      thread_state_.load(std::memory_order_acquire) == thread_state::running;  // pairs with ensure_thread
  if (is_served && self != nullptr && the_scheduler()->time() == nullptr && current_worker()->blocking_depth == 0) {
    waiter mine{self, until, false, nullptr};
    {
      os::spin_guard guard(lock_);
      mine.next = std::exchange(waiters_, &mine);
    }
    // The cycle may be over already: then it has told those that stood in the list before.
    if (completed() >= until || !accepts_.load(std::memory_order_seq_cst)) tell_waiters();
    while (true) {
      {
        os::spin_guard guard(lock_);
        if (mine.told) return;
      }
      park(wait_reason::collection);
    }
  }
  // Others wait with their kernel threads; in a test bubble as in rt::blocking, or its clock would go on. They ask for
  // the collector's thread again until the system gives it: what is wanted stays so, and a new thread looks at that
  // first.
  blocking_enter();
  while (completed() < until && accepts_.load(std::memory_order_seq_cst)) {
    ensure_thread();
    std::uint32_t turn = turns_.load(std::memory_order_acquire);  // pairs with tell_waiters
    if (completed() < until) os::futex_wait(turns_, turn, 100'000'000);
  }
  blocking_exit();
}

bool collector::search(stopped_search& one) noexcept {
  stopped_search* none = nullptr;
  if (!accepts_.load(std::memory_order_relaxed) ||
      !search_.compare_exchange_strong(none, &one, std::memory_order_acq_rel)) {  // pairs with run_cycle
    return false;
  }
  // A cycle that was just about to begin may have looked for a search before this one was there.
  while (search_.load(std::memory_order_acquire) == &one && accepts_.load(std::memory_order_seq_cst)) {
    collect(cycle_cause::forced);
  }
  stopped_search* mine = &one;
  if (search_.compare_exchange_strong(mine, nullptr, std::memory_order_acq_rel)) return false;  // the run has ended
  // A cycle has taken it, and is over unless the end of the run kept the caller from waiting for that.
  while (!one.is_done()) os::futex_wait(turns_, turns_.load(std::memory_order_relaxed), 1'000'000);
  return true;
}

// Who waits is told under the lock, and so is there until it has seen that; it wakes for whatever token comes.
void collector::tell_waiters() noexcept {
  bool all = !accepts_.load(std::memory_order_seq_cst);
  std::uint64_t now = completed();
  {
    os::spin_guard guard(lock_);
    for (waiter** at = &waiters_; *at != nullptr;) {
      waiter& one = **at;
      if (!all && one.until > now) {
        at = &one.next;
        continue;
      }
      *at = one.next;
      green_thread* who = one.who;
      one.told = true;
      unpark(*who);
    }
  }
  turns_.fetch_add(1, std::memory_order_release);  // pairs with collect
  os::futex_wake(turns_, INT32_MAX);
}

void collector::read_history(history& into) const noexcept {
  os::spin_guard guard(lock_);
  into = history_;
}

int collector::percent() const noexcept {
  os::spin_guard guard(pace_lock_);
  return pace_.percent();
}

std::uint64_t collector::memory_limit() const noexcept {
  os::spin_guard guard(pace_lock_);
  return pace_.memory_limit();
}

std::uint64_t collector::table_bytes() const noexcept {
  return pool_.bytes() + (places_ == nullptr ? 0 : sizeof(place) * (most_procs + 1)) + roots().bytes() +
         attachment_bytes();
}

cycle_report collector::last() const noexcept {
  os::spin_guard guard(lock_);
  return last_;
}

// ---------------------------------------------------------------------------------------------------------------------
// What allocating and storing green threads do

namespace {

// A loop that allocates may make no other call of the runtime. It makes way here, so that neither a stop nor whoever
// waits for its P needs a signal. But not with a lock of the system held, which would stay locked for as long as others
// run on its kernel thread: a signal stops that thread as well. And refills depend on what the heap looks like: where
// the order is decided by a seed, or time is virtual, they make no decision.
void make_way_if_asked() noexcept {
  if (!may_park()) return;
  worker* self = current_worker();
  if (self->current->os_locks != 0) return;
  const processor* p = self->p;
  constexpr std::uint32_t reasons = attention::stop | attention::preempt | attention::errand;
  if (p != nullptr && (p->attention.load(std::memory_order_relaxed) & reasons) == 0) return;
  if (the_scheduler()->time() == nullptr) make_way(*self);
}

}  // namespace

void collector::before_refill(heap_owner& user, std::size_t bytes) noexcept {
  make_way_if_asked();
  if (options_.stress_every != 0 && stressed_.fetch_add(1, std::memory_order_relaxed) % options_.stress_every == 0) {
    if (may_park()) {
      collect(cycle_cause::forced);
      return;
    }
  }
  if (user.span_bytes() > user.soft_limit()) [[unlikely]]
    slow_down(user, bytes);
  if (is_marking()) {
    assist(bytes);
    return;
  }
  std::uint64_t allocated = allocated_since_.fetch_add(bytes, std::memory_order_relaxed) + bytes;
  if (allocated < allowed_.load(std::memory_order_relaxed)) return;
  // Asked once: until the cycle begins nobody else need do so.
  if (!asked_.load(std::memory_order_relaxed) && !asked_.exchange(true, std::memory_order_relaxed)) {
    request(cycle_cause::growth);
  }
  // The collector's thread has not had a CPU yet, or is sweeping.
  std::uint64_t most = most_allowed_.load(std::memory_order_relaxed);
  if (allocated > most && thread_state_.load(std::memory_order_relaxed) == thread_state::running) rest_a_little();
}

void collector::barrier(const void* old_value, const void* new_value) noexcept {
  worker* self = current_worker();
  if (self != nullptr) os::enter_critical(*self);
  processor* p = self == nullptr ? nullptr : self->usable_proc();
  place& mine = places_[p == nullptr ? place_of_others : static_cast<std::size_t>(p->id)];
  // The caller's test may be older than the end of marking: what is marked after that would be taken for done by the
  // next cycle. In this section marking does not end.
  if (gc_marking.load(std::memory_order_relaxed)) {
    // The lock is nearly always free: the other one who takes it is the collector, at the end of its rounds.
    os::spin_guard guard(mine.lock);
    if (old_value != nullptr) mine.own.shade(reinterpret_cast<std::uintptr_t>(old_value));
    if (new_value != nullptr) mine.own.shade(reinterpret_cast<std::uintptr_t>(new_value));
  }
  if (self != nullptr) os::leave_critical(*self);
}

void collector::flush_places() noexcept {
  auto flush = [](place& one) {
    os::spin_guard guard(one.lock);
    one.own.flush();
  };
  int procs = the_scheduler()->proc_limit();
  for (int i = 0; i < procs; ++i) flush(places_[i]);
  flush(places_[place_of_others]);
}

}  // namespace rt::detail
