// Preemption: making way when asked to, and being stopped when not.
//
// A green thread that has used up its slice is asked by its P's attention word, which every call of the runtime looks
// at. If it makes no such call, the monitor sends a signal to its kernel thread. The handler never switches green
// threads: the code below it may be anywhere, in malloc, with a std::mutex held, between two instructions that belong
// together, with the address of a thread_local in a register. It stops the *kernel thread* where it stands, in the
// handler, on the alternate stack: the green thread is frozen. Its P goes to another M, and the green thread, bound to
// its own M, waits in a queue as one that can run. Whoever takes it out of the queue hands its P to that M (Argobots'
// KLT-switching, PPoPP 2021). So locks, malloc's caches and thread-local variables of the kernel thread are only ever
// seen by the green thread that was using them.
//
// Invariants
//   1 Nothing is frozen in a critical section (os/critical_section.h): not while it holds a lock of the runtime or
//     changes what its P owns. The handler then does nothing, and the monitor comes again.
//   2 A P is given up by the handler only to an M that is there: an idle one, which looks at all queues, or, where none
//     can be made, that of another frozen green thread. No M is made here or waited for, since a frozen thread may hold
//     malloc's lock. So a lock that a frozen green thread holds is given back in the end, whoever waits for it.
//   3 The frozen ones and the others take turns on each P: between two looks of a P at what waits for it lies at most
//     one slice of a frozen one, and after that slice those of the P itself go first (turns.h), then one of the global
//     queue, then the next frozen one. Whoever is put aside by 4 takes nobody's turn.
//   4 Frozen ones are bounded. While most_frozen are frozen, green threads that have not begun and whose function is
//     known to compute are held back. While most_frozen_begun are, none begins, those that have begun are held back if
//     their function is known to compute, and a frozen one gives its P straight to the next every second time: a look
//     at the others in between may freeze one more, but not a second one of the same function.
//   5 When the world is stopped, a frozen M keeps its P in mind (processor::resident) and gets that one back.
//   6 A green thread that runs without a P is held in the handler, for a collector that has stopped the world
//     (hold_if_asked), and goes on without a P afterwards. It may have been asleep in the kernel: a call that cannot be
//     restarted then returns EINTR.
//
// The races by name. *Late signal*: it arrives when another green thread runs; the handler compares the P's decision
// count with the one that the request was about. *Freeze against retake*: the handler enters a critical section first,
// so a retake that has not happened by then will not; and it looks at its P again under the scheduler's lock, under
// which a retake is decided. *Interrupted call*: signals are sent only to a thread whose CPU clock moves, so a call
// that sleeps in the kernel is not interrupted; one that begins to sleep just then is restarted (SA_RESTART) where the
// kernel can.
//
// Rejected: switching green threads in the handler (Go can, its compiler knows safe points; C++ code has none);
// rewriting the interrupted program counter (the same); timers for each thread (they fire whether or not anybody
// waits).
#include "runtime/sched/preempt.h"

#include <cerrno>
#include <utility>

#include "runtime/context/sanitizer.h"
#include "runtime/os/futex.h"
#include "runtime/os/signal.h"
#include "runtime/sched/fast_path.h"
#include "runtime/sched/scheduler.h"
#include "runtime/sched/worker_factory.h"

namespace rt::detail {

namespace {

// Leaves what a walk over the frames of a parked green thread expects (context.h): the frame pointer on the top of the
// stack, and where the code goes on. 128 bytes below the stack pointer belong to the interrupted function (the psABI's
// red zone).
void note_interrupted(green_thread& one, const os::interrupted_state& at) noexcept {
  constexpr std::uintptr_t red_zone = 128;
  std::uintptr_t place = (at.stack - red_zone - sizeof(std::uintptr_t)) & ~std::uintptr_t{15};
  if (place < reinterpret_cast<std::uintptr_t>(one.stack_low()) ||
      at.stack > reinterpret_cast<std::uintptr_t>(one.stack_high())) {
    return;  // the plugin has switched to a stack of its own
  }
  *reinterpret_cast<std::uintptr_t*>(place) = at.frame;
  one.flow.stack_pointer = reinterpret_cast<void*>(place);
  one.flow.resume_at = reinterpret_cast<void*>(at.code);
}

}  // namespace

void on_preempt_signal(int signal, siginfo_t* info, void* context) noexcept {
  worker* self = current_worker();
  if (self == nullptr) {
    os::call_previous_preempt_handler(signal, info, context);
    return;
  }
  if (self->critical.load(std::memory_order_relaxed) != 0 || self->current == nullptr) return;
  int error = errno;
  the_scheduler()->freeze(*self, context);
  errno = error;
}

void scheduler::freeze(worker& self, const void* context) noexcept {
  const os::interrupted_state at = os::state_of(context);
  os::enter_critical(self);
  green_thread& one = *self.current;
  if (hold_if_asked(self, context)) {
    os::leave_critical(self);
    return;
  }
  worker* heir = nullptr;
  processor* p = nullptr;
  processor* idle = nullptr;
  bool frozen = false;
  bool last = false;
  bool by_weight = false;
  {
    os::spin_guard guard(lock_);
    p = self.p;
    if (p == nullptr) {
      // Its P was taken away while it was in a system call, and it has come back: it gets another one, or queues up for
      // one. In rt::blocking it may run as long as it likes.
      if (self.retaken) {
        self.retaken = false;
        self.outside = false;
        judge_retake(self);
        totals_.retaken_now.fetch_sub(1, std::memory_order_relaxed);
        idle = take_idle_proc_locked();
        frozen = idle == nullptr;
      }
    } else if (stop_requested_.load(std::memory_order_relaxed)) {
      if (p != stopper_proc_) {
        account(*p, nullptr);
        p->stopped = true;
        p->resident = &self;
        p->owner.store(nullptr, std::memory_order_relaxed);
        self.p = nullptr;
        last = note_stopped_locked();
        frozen = true;
      }
    } else if (p != stopper_proc_ && (p->attention.load(std::memory_order_relaxed) & attention::preempt) != 0 &&
               p->preempt_tick.load(std::memory_order_relaxed) == p->tick.load(std::memory_order_relaxed)) {
      bool full = frozen_count_.load(std::memory_order_relaxed) >= most_frozen_begun;
      bool straight = full && !p->went_straight;
      if (!straight) heir = pop_idle_worker_locked();
      if (heir == nullptr && (full || p->may_swap)) {
        if (green_thread* next = pop_frozen_locked(); next != nullptr) heir = next->bound;
      }
      if (heir != nullptr) {
        p->went_straight = straight;
        bump(p->preemptions);
        account(*p, nullptr);
        p->owner.store(nullptr, std::memory_order_relaxed);
        self.p = nullptr;
        frozen = true;
      }
    }
    if (frozen) {
      note_interrupted(one, at);
      one.interrupted = context;
      one.frozen = true;
      one.bound = &self;
      one.ready_cycles = 0;
      one.where.store(phase::runnable, std::memory_order_relaxed);
      frozen_count_.fetch_add(1, std::memory_order_relaxed);
      totals_.freezes.fetch_add(1, std::memory_order_relaxed);
      if (p == nullptr || !p->stopped) {
        computing_[computing_place(one.entry)].store(one.entry, std::memory_order_relaxed);  // a hint, for hold_back
        by_weight = fair_queue::in_use();
        if (!by_weight) push_frozen_locked(one);
      }
    }
  }
  if (!frozen) {
    if (idle != nullptr) {
      attach(self, *idle);
      observe_start(*idle, one);
    }
    os::leave_critical(self);
    return;
  }
  if (last) tell_stopper();
  if (by_weight) push_by_weight(&self, one);
  if (heir != nullptr) hand(*heir, *p, false);
  if (p == nullptr) wake_for_work();

  while (self.wake.load(std::memory_order_acquire) == 0) os::futex_wait(self.wake, 0, -1);  // pairs with hand
  self.wake.store(0, std::memory_order_relaxed);
  processor& given = *std::exchange(self.handed, nullptr);
  frozen_count_.fetch_sub(1, std::memory_order_relaxed);
  one.frozen = false;
  one.interrupted = nullptr;
  if (self.locked.load(std::memory_order_relaxed) == nullptr) one.bound = nullptr;
  attach(self, given);
  observe_start(given, one);
  os::leave_critical(self);
}

// For the collector, which has stopped all Ps: one that runs without a P waits here until the world starts.
bool scheduler::hold_if_asked(worker& self, const void* context) noexcept {
  {
    os::spin_guard guard(lock_);
    if (!hold_requested_ || !self.outside) return false;
    note_interrupted(*self.current, os::state_of(context));
    self.current->interrupted = context;
    self.held = true;
  }
  while (true) {
    while (held_.load(std::memory_order_acquire) != 0) os::futex_wait(held_, 1, -1);  // pairs with release_outsiders
    os::spin_guard guard(lock_);
    if (hold_requested_) continue;  // by the next collection already, which counts on this one
    self.held = false;
    self.current->interrupted = nullptr;
    return true;
  }
}

bool scheduler::interrupt(processor& p, std::uint32_t tick) noexcept {
  bool stuck = false;
  bool sent = try_interrupt(p, tick, stuck);
  if (stuck) find_frozen_by_weight();
  return sent;
}

bool scheduler::try_interrupt(processor& p, std::uint32_t tick, bool& stuck) noexcept {
  os::spin_guard guard(lock_);
  worker* owner = p.owner.load(std::memory_order_relaxed);
  if (owner == nullptr || p.tick.load(std::memory_order_relaxed) != tick) return true;
  bool stopping = stop_requested_.load(std::memory_order_relaxed);
  bool full = frozen_count_.load(std::memory_order_relaxed) >= most_frozen_begun;
  if (!stopping && !full && idle_workers_ == nullptr) {
    // The factory makes an M, for the next try. Should it be stuck behind a lock that a frozen thread holds, it is not
    // there then: the frozen ones take over from each other until one gives the lock back.
    stuck = factory_->want_spare() || worker_count_ >= max_threads_;
    p.may_swap = stuck && frozen_first_ != nullptr;
    if (!p.may_swap) return false;
    stuck = false;
  } else {
    p.may_swap = false;
    stuck = !stopping && full && frozen_first_ == nullptr;  // for the next try
  }
  totals_.signals.fetch_add(1, std::memory_order_relaxed);
  // Under the lock: an M that owns a P cannot end, and the owner cannot change.
  os::send_preempt_signal(owner->thread);
  return true;
}

void scheduler::push_frozen_locked(green_thread& one) noexcept {
  append(frozen_first_, frozen_last_, one);
  global_count_.store(global_count_.load(std::memory_order_relaxed) + 1, std::memory_order_seq_cst);  // as push_global
}

green_thread* scheduler::pop_frozen_locked() noexcept {
  green_thread* first = frozen_first_;
  if (first == nullptr) return nullptr;
  frozen_first_ = first->link;
  if (frozen_first_ == nullptr) frozen_last_ = nullptr;
  global_count_.store(global_count_.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
  return first;
}

void scheduler::find_frozen_by_weight() noexcept {
  constexpr int most_looked_at = 64;
  ready_list others;
  for (int i = 0; i < most_looked_at; ++i) {
    green_thread* one = fair_.take_any();
    if (one == nullptr) break;
    if (one->frozen) {
      os::spin_guard guard(lock_);
      push_frozen_locked(*one);
      break;
    }
    others.push(*one);
  }
  for (green_thread* one = others.first; one != nullptr;) {
    green_thread* next = one->link;
    fair_.push(*one);
    one = next;
  }
  wake_for_work();
}

// While many are frozen: one that has not begun waits if it is likely to compute as well (its function did before), or
// if too many others that were not known to do so did. Else a new connection would wait for the end of a computation.
bool scheduler::must_be_held_back(const green_thread& one) noexcept {
  int frozen = frozen_count_.load(std::memory_order_relaxed);
  if (frozen < most_frozen || one.bound != nullptr) return false;
  bool full = frozen >= most_frozen_begun;
  bool computes = computing_[computing_place(one.entry)].load(std::memory_order_relaxed) == one.entry;
  return is_fresh(one.flow) ? full || computes : full && computes;
}

void scheduler::push_held_back_locked(green_thread& one) noexcept {
  if (is_fresh(one.flow) || held_back_first_ == nullptr) {
    append(held_back_first_, held_back_last_, one);
  } else {  // it goes on as soon as there is room, before any other begins
    one.link = held_back_first_;
    held_back_first_ = &one;
  }
}

void scheduler::hold_back(green_thread& one) noexcept {
  one.where.store(phase::runnable, std::memory_order_relaxed);
  os::spin_guard guard(lock_);
  push_held_back_locked(one);
  global_count_.store(global_count_.load(std::memory_order_relaxed) + 1, std::memory_order_seq_cst);  // as push_global
}

// At once and not one a decision: thousands may stand before one that is to run, and a frozen one has its slice between
// two decisions.
void scheduler::hold_back_first_ones() noexcept {
  constexpr int most_at_once = 64;  // with the lock held; a look at a green thread costs a cache miss or two
  for (int moved = most_at_once; moved == most_at_once;) {
    os::spin_guard guard(lock_);
    for (moved = 0; moved < most_at_once; ++moved) {
      green_thread* first = global_first_;
      if (first == nullptr || !must_be_held_back(*first)) break;
      global_first_ = first->link;
      if (global_first_ == nullptr) global_last_ = nullptr;
      push_held_back_locked(*first);
    }
  }
}

// `bound` was chosen to run, but only its own M can run it: that one gets the P.
void scheduler::pass_to_own_thread(worker& self, green_thread& bound) noexcept {
  processor& p = *self.p;
  account(p, nullptr);
  self.p = nullptr;
  p.owner.store(nullptr, std::memory_order_relaxed);
  hand(*bound.bound, p, false);
}

}  // namespace rt::detail
