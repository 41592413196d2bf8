#include "runtime/sched/system_monitor.h"

#include <system_error>
#include <utility>

#include "runtime/heap/heap.h"
#include "runtime/os/clock.h"
#include "runtime/os/cpu.h"
#include "runtime/os/futex.h"
#include "runtime/os/thread.h"
#include "runtime/os/thread_census.h"
#include "runtime/sched/scheduler.h"

namespace rt::detail {

namespace {

// All in nanoseconds. Slice, first and longest pause are Go's.
constexpr std::int64_t slice = 10'000'000;
constexpr std::int64_t first_pause = 20'000;
constexpr std::int64_t longest_pause = 10'000'000;
constexpr std::int64_t longest_pause_with_timers = 1'000'000;
// While others wait behind a slice that makes no decisions: what is looked for then takes some milliseconds.
constexpr std::int64_t longest_pause_with_stuck = 1'000'000;
// While a group has a quota: how much more than that it may use.
constexpr std::int64_t longest_pause_with_quotas = 1'000'000;
constexpr int rounds_before_longer = 50;
constexpr std::int64_t overdue = 100'000;
constexpr std::int64_t poll_at_least = 10'000'000;
constexpr std::int64_t cpus_every = 1'000'000'000;
// How long the stacks of ended green threads lie about unused until their memory is given back.
constexpr std::int64_t stacks_every = 2'000'000'000;
// From the request to make way to the signal: long enough for the next call of the runtime where there are any.
constexpr std::int64_t courtesy = 50'000;
// How long what runs may take to make way for the latency class until it gets the signal.
constexpr std::int64_t patience_of_latency = 1'000'000;
// How much longer a thread may be asleep with its P when nobody waits for it, as a factor: it is taken all the same, so
// that it counts as idle and the monitor can sleep.
constexpr std::int64_t rest_without_waiting = 10;

}  // namespace

void system_monitor::start() {
  if (!os::start_thread(thread_, &thread_main, this)) {
    throw std::system_error(std::make_error_code(std::errc::resource_unavailable_try_again),
                            "the system monitor's thread");
  }
  started_ = true;
}

void system_monitor::stop() noexcept {
  if (!started_) return;
  stopping_.store(1, std::memory_order_seq_cst);
  os::futex_wake(stopping_, 1);
  wake();
  pthread_join(thread_, nullptr);
  started_ = false;
}

void* system_monitor::thread_main(void* argument) noexcept {
  os::own_thread counted;
  os::prepare_worker_thread("rt-monitor");
  static_cast<system_monitor*>(argument)->run();
  return nullptr;
}

void system_monitor::wake() noexcept {
  if (asleep_.exchange(0, std::memory_order_seq_cst) != 0) os::futex_wake(asleep_, 1);
}

void system_monitor::run() noexcept {
  std::int64_t pause = first_pause;
  int quiet_rounds = 0;
  while (stopping_.load(std::memory_order_seq_cst) == 0) {
    std::int64_t limit = stuck_ ? longest_pause_with_stuck : longest_pause;
    if (limit > longest_pause_with_timers && scheduler_.earliest_timer() != INT64_MAX)
      limit = longest_pause_with_timers;
    if (limit > longest_pause_with_quotas && scheduler_.shares().has_quotas()) limit = longest_pause_with_quotas;
    os::futex_wait(stopping_, 0, pause < limit ? pause : limit);
    if (stopping_.load(std::memory_order_seq_cst) != 0) return;

    deadlocks_.look_if_due(os::nanotime());
    if (!strays_ && scheduler_.idle_procs_.load(std::memory_order_seq_cst) == scheduler_.proc_count()) {
      // seq_cst on both sides: either the M that takes a P sees asleep_, or the second look here sees its P taken.
      asleep_.store(1, std::memory_order_seq_cst);
      if (scheduler_.idle_procs_.load(std::memory_order_seq_cst) == scheduler_.proc_count()) {
        while (asleep_.load(std::memory_order_seq_cst) != 0 && stopping_.load(std::memory_order_seq_cst) == 0) {
          // Without end once all have been looked at, and the memory of the last spike is given back.
          std::int64_t idle_look = deadlocks_.time_to_idle_look(os::nanotime());
          std::int64_t to_release = time_to_release(os::nanotime());
          bool release_first = to_release >= 0 && (idle_look < 0 || to_release < idle_look);
          std::int64_t longest = release_first ? to_release : idle_look;
          std::int64_t to_period = scheduler_.shares().time_to_next_period(os::nanotime());
          bool period_first = to_period >= 0 && (longest < 0 || to_period < longest);
          bool in_time = os::futex_wait(asleep_, 1, period_first ? to_period : longest);
          if (period_first) scheduler_.enforce_quotas(os::nanotime());
          release_memory(os::nanotime());
          if (!in_time && !release_first && !period_first && asleep_.load(std::memory_order_seq_cst) != 0) {
            deadlocks_.look(os::nanotime(), true);
          }
        }
        // A short burst of work must not cost a series of looks every 20 us: begin at a middle pace.
        pause = longest_pause_with_timers;
      }
      asleep_.store(0, std::memory_order_seq_cst);
      quiet_rounds = 0;
      continue;
    }
    if (look(os::nanotime())) {
      quiet_rounds = 0;
      pause = first_pause;
    } else if (++quiet_rounds > rounds_before_longer && pause < longest_pause) {
      pause *= 2;
    }
  }
}

bool system_monitor::look(std::int64_t now) noexcept {
  bool acted = false;
  bool asked = false;
  stacks_left_ = true;  // somebody runs, and may leave some
  int count = scheduler_.proc_count();
  stuck_ = false;
  scheduler_.enforce_quotas(now);
  for (int i = 0; i < count; ++i) {
    verdict one = look_at(scheduler_.proc(i), now);
    acted |= one != verdict::fine;
    asked |= one == verdict::asked;
  }
  if (asked) {
    os::futex_wait(stopping_, 0, courtesy);
    for (int i = 0; i < count; ++i) interrupt_if_asked(scheduler_.proc(i));
  }
  strays_ = scheduler_.catch_strays(now);
  if (now - scheduler_.last_poll_.load(std::memory_order_relaxed) > poll_at_least &&
      !scheduler_.poll_turn_.load(std::memory_order_relaxed) && scheduler_.net_->has_waiters()) {
    scheduler_.last_poll_.store(now, std::memory_order_relaxed);
    ready_list ready;
    scheduler_.net_->wait(0, ready);
    acted |= ready.first != nullptr;
    scheduler_.make_ready(nullptr, ready);
  }
  // The timers of idle Ps are the business of the M in the poller. While no M is there, because the last one that was
  // came out with work, one more P is needed.
  if (scheduler_.idle_proc_count() != 0 && !scheduler_.poll_turn_.load(std::memory_order_relaxed) &&
      scheduler_.earliest_timer() < now - overdue) {
    scheduler_.wake_for_work();
    acted = true;
  }
  release_memory(now);
  if (follow_cpus_.load(std::memory_order_relaxed) && now - cpus_read_at_ > cpus_every) {
    cpus_read_at_ = now;
    int cpus = os::usable_cpus();
    if (cpus > most_procs) cpus = most_procs;
    if (cpus != count) scheduler_.set_procs(cpus);
  }
  return acted;
}

void system_monitor::release_memory(std::int64_t now) noexcept {
  if (now >= scavenge_at_ || scavenge_at_ == INT64_MAX) scavenge_at_ = scavenge(now);
  if (now - stacks_released_at_ < stacks_every) return;
  stacks_released_at_ = now;
  stacks_left_ = stacks().release_unused();
}

// How long until release_memory has something to do, in nanoseconds; -1: not while all are idle.
std::int64_t system_monitor::time_to_release(std::int64_t now) const noexcept {
  std::int64_t heap = scavenge_at_ == INT64_MAX ? -1 : scavenge_at_ > now ? scavenge_at_ - now : 0;
  if (!stacks_left_) return heap;
  return heap >= 0 && heap < stacks_every ? heap : stacks_every;
}

// Whether anybody could use this P if it were free.
bool system_monitor::somebody_waits(processor& p, std::int64_t now) noexcept {
  return p.ring.size() != 0 || p.runnext.load(std::memory_order_relaxed) != nullptr ||
         scheduler_.global_length() != 0 || scheduler_.shares().size() != 0 || p.timers.next() <= now;
}

system_monitor::verdict system_monitor::look_at(processor& p, std::int64_t now) noexcept {
  const bool over_quota = std::exchange(p.over_quota, false);
  if (p.idle.load(std::memory_order_relaxed) || p.owner.load(std::memory_order_relaxed) == nullptr ||
      scheduler_.stop_requested_.load(std::memory_order_relaxed)) {
    p.seen_tick_at = now;
    return verdict::fine;
  }
  std::uint32_t tick = p.tick.load(std::memory_order_relaxed);
  if (tick != p.seen_tick) {
    p.seen_tick = tick;
    p.seen_tick_at = now;
    p.note = {};
    // Its runnexts wake nobody: should it stop to take them itself, that is to be seen soon.
    stuck_ |= p.vain_wakes.load(std::memory_order_relaxed) == enough_vain_wakes && scheduler_.idle_proc_count() != 0;
    return help_timers(p, now);
  }
  bool waiting = somebody_waits(p, now);
  stuck_ |= waiting;
  // A runnext that woke nobody (vain_wakes) waits behind a long slice.
  if (p.runnext.load(std::memory_order_relaxed) != nullptr) scheduler_.wake_for_work();
  motion seen = scheduler_.look_at_owner(p, p.note);
  if (seen == motion::resting) {
    std::int64_t rested = now - p.note.since;
    if (rested >= scheduler_.rest_for_sleep() * (waiting ? 1 : rest_without_waiting)) {
      // Unless it is the scheduler that sleeps there: in the poller, say.
      return scheduler_.retake(p, p.note) ? verdict::acted : help_timers(p, now);
    }
    if (rested > 0 || !waiting) return help_timers(p, now);
  }
  // One of the latency class may have asked before the slice was over (sharing.cpp).
  bool was_asked = (p.attention.load(std::memory_order_relaxed) & attention::preempt) != 0;
  bool is_over = waiting && now - p.seen_tick_at >= (was_asked ? patience_of_latency : slice);
  if ((is_over || over_quota) && seen != motion::unknown) {
    p.preempt_tick.store(tick, std::memory_order_relaxed);  // read by the owner's handler, under the scheduler's lock
    scheduler_.request_preempt(p);
    return verdict::asked;
  }
  return help_timers(p, now);
}

// A P whose timers are overdue gets help from an idle one, or a request to look.
system_monitor::verdict system_monitor::help_timers(processor& p, std::int64_t now) noexcept {
  if (p.timers.next() >= now - overdue) return verdict::fine;
  if (scheduler_.idle_proc_count() != 0) {
    scheduler_.wake_for_work();
    return verdict::acted;
  }
  std::uint32_t before = p.attention.fetch_or(attention::timers, std::memory_order_relaxed);
  return (before & attention::timers) == 0 ? verdict::acted : verdict::fine;
}

// The signal, for a green thread that has been asked to make way and has not done so.
void system_monitor::interrupt_if_asked(processor& p) noexcept {
  std::uint32_t tick = p.preempt_tick.load(std::memory_order_relaxed);
  if ((p.attention.load(std::memory_order_relaxed) & attention::preempt) == 0 || p.seen_tick != tick) return;
  if (scheduler_.look_at_owner(p, p.note) == motion::moving) scheduler_.interrupt(p, tick);
}

}  // namespace rt::detail
