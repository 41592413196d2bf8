#include "runtime/sched/system_monitor.h"

#include <system_error>

#include "runtime/os/clock.h"
#include "runtime/os/cpu.h"
#include "runtime/os/futex.h"
#include "runtime/os/thread.h"
#include "runtime/sched/scheduler.h"

namespace rt::detail {

namespace {

// All in nanoseconds. Slice, first and longest pause are Go's.
constexpr std::int64_t slice = 10'000'000;
constexpr std::int64_t first_pause = 20'000;
constexpr std::int64_t longest_pause = 10'000'000;
constexpr std::int64_t longest_pause_with_timers = 1'000'000;
constexpr int rounds_before_longer = 50;
constexpr std::int64_t overdue = 100'000;
constexpr std::int64_t poll_at_least = 10'000'000;
constexpr std::int64_t cpus_every = 1'000'000'000;

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
    bool timers = scheduler_.earliest_timer() != INT64_MAX;
    std::int64_t limit = timers ? longest_pause_with_timers : longest_pause;
    os::futex_wait(stopping_, 0, pause < limit ? pause : limit);
    if (stopping_.load(std::memory_order_seq_cst) != 0) return;

    if (scheduler_.idle_procs_.load(std::memory_order_seq_cst) == scheduler_.proc_count()) {
      // seq_cst on both sides: either the M that takes a P sees asleep_, or the second look here sees its P taken.
      asleep_.store(1, std::memory_order_seq_cst);
      if (scheduler_.idle_procs_.load(std::memory_order_seq_cst) == scheduler_.proc_count()) {
        while (asleep_.load(std::memory_order_seq_cst) != 0 && stopping_.load(std::memory_order_seq_cst) == 0) {
          os::futex_wait(asleep_, 1, -1);
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
  int count = scheduler_.proc_count();
  for (int i = 0; i < count; ++i) acted |= look_at(scheduler_.proc(i), now);
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
  if (follow_cpus_.load(std::memory_order_relaxed) && now - cpus_read_at_ > cpus_every) {
    cpus_read_at_ = now;
    int cpus = os::usable_cpus();
    if (cpus > most_procs) cpus = most_procs;
    if (cpus != count) scheduler_.set_procs(cpus);
  }
  return acted;
}

bool system_monitor::look_at(processor& p, std::int64_t now) noexcept {
  if (p.idle.load(std::memory_order_relaxed)) {
    p.seen_tick_at = now;
    return false;
  }
  bool acted = false;
  std::uint32_t tick = p.tick.load(std::memory_order_relaxed);
  if (tick != p.seen_tick) {
    p.seen_tick = tick;
    p.seen_tick_at = now;
  } else if (now - p.seen_tick_at >= slice) {
    p.seen_tick_at = now;
    p.attention.fetch_or(attention::preempt, std::memory_order_relaxed);
    scheduler_.totals_.preempt_requests.fetch_add(1, std::memory_order_relaxed);
  }
  if (p.timers.next() < now - overdue) {
    if (scheduler_.idle_proc_count() != 0) {
      scheduler_.wake_for_work();
    } else {
      p.attention.fetch_or(attention::timers, std::memory_order_relaxed);
    }
    acted = true;
  }
  return acted;
}

}  // namespace rt::detail
