// How the heap's growth and the marking are held together: what those that allocate do while the collector marks, and
// when the next cycle begins.
//
// Each P has credit: bytes that were looked into on it beyond what its allocations owed. Credit of Ps, not of green
// threads: a program with very many of them would else make each do a least piece of work in each cycle (golang/go
// #56966). Who owes takes what the team has done and nobody has claimed; if that is not enough it looks into objects
// itself, in a critical section, until it has done 64 KiB or its P is wanted for something else. Where there is nothing
// to do and the heap is beyond its goal, it rests a little, so that the team keeps up.
#include <algorithm>
#include <cmath>

#include "runtime/gc/collector.h"
#include "runtime/gc/may_park.h"
#include "runtime/os/clock.h"

namespace rt::detail {

namespace {

// The least that is done at once, in bytes looked into: Go's.
constexpr double least_help = 64 * 1024;
// How long one that can do nothing rests, in nanoseconds, and how far beyond the goal the heap must be for that.
constexpr std::int64_t rest = 100'000;
constexpr double far_beyond = 1.1;
// What may be allocated beyond the goal in any case, in bytes.
constexpr std::uint64_t least_room = 1 << 20;
// From which part below the memory limit on free pages are given back at once: a sixteenth.
constexpr std::uint64_t near_limit = 16;
// How often the limit on the collector's CPU time is looked at, in nanoseconds: Go's.
constexpr std::int64_t limit_every = 10'000'000;

}  // namespace

void collector::assist(std::size_t bytes) noexcept {
  allocated_marking_.fetch_add(bytes, std::memory_order_relaxed);
  revise();
  worker* self = current_worker();
  if (self == nullptr || self->current == nullptr || self->blocking_depth != 0 ||
      is_limited_.load(std::memory_order_relaxed)) {
    return;
  }
  auto owed = static_cast<std::int64_t>(std::ceil(static_cast<double>(bytes) * pace_.assist_ratio()));
  worker& mine = enter_with_proc();
  if (!is_marking()) {  // it ended while this one waited for a P
    os::leave_critical(mine);
    return;
  }
  place& here = places_[static_cast<std::size_t>(mine.p->id)];
  here.credit -= owed;
  if (here.credit < 0) {
    auto unclaimed =
        static_cast<std::int64_t>(team_->scanned() - team_scanned_before_ - claimed_.load(std::memory_order_relaxed));
    std::int64_t taken = std::clamp<std::int64_t>(unclaimed, 0, -here.credit);
    claimed_.fetch_add(static_cast<std::uint64_t>(taken), std::memory_order_relaxed);  // two may take the same: little
    here.credit += taken;
  }
  bool idle = false;
  if (here.credit < 0) {
    std::int64_t began = os::nanotime();
    std::uint64_t done = 0;
    idle = !help(static_cast<std::uint64_t>(std::max(static_cast<double>(-here.credit), least_help)), done);
    here.credit = idle ? 0 : here.credit + static_cast<std::int64_t>(done);
    assist_time_.fetch_add(os::nanotime() - began, std::memory_order_relaxed);
  }
  os::leave_critical(mine);
  if (!idle) return;
  bool beyond = false;
  {
    os::spin_guard guard(pace_lock_);
    beyond = static_cast<double>(pace_.live()) > far_beyond * static_cast<double>(pace_.goal());
  }
  if (beyond) rest_a_little();
}

// The heap is far beyond its goal, and the caller can do nothing about it: the collector's threads shall have the CPU.
void collector::rest_a_little() noexcept {
  if (!may_park() || the_scheduler()->time() != nullptr) return;  // in a bubble time does not pass by itself
  park_until(wait_reason::collection, os::nanotime() + rest);
}

// In a critical section. False when there was nothing to do.
bool collector::help(std::uint64_t wanted, std::uint64_t& done) noexcept {
  marker mine(pool_);
  const processor& p = *current_worker()->p;
  helpers_.fetch_add(1, std::memory_order_relaxed);
  bool all =
      mine.drain([&] { return mine.scanned_bytes() >= wanted || p.attention.load(std::memory_order_relaxed) != 0; },
                 [&] { return lacks_work_.load(std::memory_order_relaxed); });
  mine.flush();
  helpers_.fetch_sub(1, std::memory_order_release);  // pairs with wait_for_helpers
  done = mine.scanned_bytes();
  helped_scanned_.fetch_add(done, std::memory_order_relaxed);
  helped_marked_.fetch_add(mine.take_counts().marked_bytes, std::memory_order_relaxed);
  if (!all || done >= wanted) return true;
  team_->ask_for_work();
  return false;
}

// Tells the pacer what has been done; whoever comes while another one is at it need not.
void collector::revise() noexcept RT_NO_THREAD_SAFETY_ANALYSIS {
  if (!pace_lock_.try_lock()) return;
  if (is_marking()) {
    std::uint64_t allocated = allocated_marking_.load(std::memory_order_relaxed);
    std::uint64_t scanned = team_->scanned() - team_scanned_before_ + helped_scanned_.load(std::memory_order_relaxed);
    pacer::progress since;
    since.allocated = since.allocated_scannable = allocated - std::min(told_allocated_, allocated);
    since.heap_scanned = scanned - std::min(told_scanned_, scanned);
    told_allocated_ = allocated;
    told_scanned_ = scanned;
    pace_.advance(since);
    if (std::int64_t now = os::nanotime(); now - told_at_ >= limit_every) update_limiter(now);
  }
  pace_lock_.unlock();
}

// Under pace_lock_.
void collector::update_limiter(std::int64_t now) noexcept {
  std::int64_t cpu = team_->cpu_time() + all_assist_time_ + assist_time_.load(std::memory_order_relaxed);
  limiter_.update(now, std::max<std::int64_t>(cpu - told_cpu_, 0));
  told_cpu_ = cpu;
  told_at_ = now;
  is_limited_.store(limiter_.is_limiting(), std::memory_order_relaxed);
}

// After a cycle, and when a setting has changed.
void collector::set_allowance() noexcept {
  heap_figures now = read_heap_figures();
  std::uint64_t limit = UINT64_MAX;
  {
    os::spin_guard guard(pace_lock_);
    limit = pace_.memory_limit();
  }
  if (now.heap_bytes - std::min(now.released_bytes, now.heap_bytes) > limit - std::min(limit, limit / near_limit)) {
    release_free_pages();
    now = read_heap_figures();
  }
  std::uint64_t backed = now.heap_bytes - std::min(now.released_bytes, now.heap_bytes);
  memory_use use;
  use.heap_used = std::min(now.live_bytes(), backed);
  use.heap_free = backed - use.heap_used;
  use.mapped = backed + now.span_table_bytes + now.cache_bytes + now.table_bytes + table_bytes() +
               stack_bytes_.load(std::memory_order_relaxed);
  os::spin_guard guard(pace_lock_);
  pace_.set_memory_use(use);
  std::uint64_t trigger = pace_.trigger();
  std::uint64_t marked = pace_.marked();
  allowed_.store(trigger > marked ? trigger - marked : 0, std::memory_order_relaxed);
  std::uint64_t goal = pace_.goal();
  goal_.store(goal, std::memory_order_relaxed);
  std::uint64_t room = goal - std::min(goal, marked);
  set_scavenge_goal(goal == UINT64_MAX ? 0 : goal);
  most_allowed_.store(goal == UINT64_MAX ? goal : room + room / 8 + least_room, std::memory_order_relaxed);
}

int collector::set_percent(int percent) noexcept {
  int before = 0;
  {
    os::spin_guard guard(pace_lock_);
    before = pace_.percent();
    pace_.set_percent(percent);
  }
  set_allowance();
  return before;
}

std::uint64_t collector::set_memory_limit(std::uint64_t bytes) noexcept {
  std::uint64_t before = 0;
  {
    os::spin_guard guard(pace_lock_);
    before = pace_.memory_limit();
    pace_.set_memory_limit(bytes);
  }
  set_allowance();
  return before;
}

}  // namespace rt::detail
