#include "runtime/gc/pacer.h"

#include <algorithm>

namespace rt::detail {

namespace {

// The trigger lies between these parts of the way from what is live to the goal. Below the lower one a program that
// allocates fast would run with the barrier on nearly always; above the upper one marking could not be begun in time.
constexpr double lowest_trigger = 0.7;
constexpr double highest_trigger = 0.95;
// The goal is at least so far beyond what was live at the end of the last cycle, and beyond the trigger, in bytes.
constexpr std::uint64_t least_growth = 1 << 20;
constexpr std::uint64_t least_runway = 64 << 10;
// How much of the limit is left free, for what the measurements do not show: 3 percent, and at least 1 MiB.
constexpr std::uint64_t headroom_parts = 33;
constexpr std::uint64_t least_headroom = 1 << 20;
// How far the heap may pass its goal before helping becomes urgent.
constexpr double most_overshoot = 1.1;
constexpr double least_work = 1000;

std::uint64_t between(std::uint64_t from, std::uint64_t to, double part) noexcept {
  return from + static_cast<std::uint64_t>(static_cast<double>(to - from) * part);
}

}  // namespace

void pacer::commit() noexcept {
  if (percent_ == percent_off) {
    percent_goal_ = UINT64_MAX;
  } else {
    auto part = static_cast<double>(percent_) / 100;
    double roots = static_cast<double>(last_stack_work_ + globals_);
    double grown = static_cast<double>(marked_) + (static_cast<double>(marked_) + roots) * part;
    percent_goal_ =
        std::max(static_cast<std::uint64_t>(grown), static_cast<std::uint64_t>(static_cast<double>(least_heap) * part));
  }
  double work = static_cast<double>(last_heap_work_ + last_stack_work_ + globals_);
  runway_ = static_cast<std::uint64_t>(cons_mark_ * (1 - background_share) / background_share * work);
}

std::uint64_t pacer::limit_goal() const noexcept {
  if (limit_ == UINT64_MAX) return UINT64_MAX;
  std::uint64_t heap = use_.heap_used + use_.heap_free;
  std::uint64_t others = use_.mapped > heap ? use_.mapped - heap : 0;
  std::uint64_t beyond = use_.mapped > limit_ ? use_.mapped - limit_ : 0;
  if (others + beyond >= limit_) return marked_;
  std::uint64_t left = limit_ - others - beyond;
  std::uint64_t headroom = std::max(left / headroom_parts, least_headroom);
  left = left < 2 * headroom ? headroom : left - headroom;
  return std::max(left, marked_);
}

pacer::goal_and_least pacer::bounds() const noexcept {
  std::uint64_t limited = limit_goal();
  if (limited < percent_goal_) return {limited, 0};
  std::uint64_t least = marked_ + least_growth;
  std::uint64_t goal = std::max(percent_goal_, least);
  if (triggered_ != not_triggered) goal = std::max(goal, triggered_ + least_runway);
  return {goal, least};
}

std::uint64_t pacer::goal() const noexcept { return bounds().goal; }

std::uint64_t pacer::trigger() const noexcept {
  auto [goal, least] = bounds();
  if (marked_ >= goal) return goal;
  least = std::max({least, marked_, between(marked_, goal, lowest_trigger)});
  std::uint64_t most = between(marked_, goal, highest_trigger);
  // In a large heap that part would be far too much: the least heap is always enough.
  if (goal > least_heap) most = std::max(most, goal - least_heap);
  most = std::max(most, least);
  std::uint64_t wanted = runway_ > goal ? least : goal - runway_;
  return std::min(std::clamp(wanted, least, most), goal);
}

void pacer::begin_cycle(std::uint64_t live, std::uint64_t scannable, std::uint64_t stack_bytes,
                        std::uint64_t global_bytes) noexcept {
  live_ = triggered_ = live;
  scannable_ = scannable;
  most_stack_ = stack_bytes;
  globals_ = global_bytes;
  heap_work_ = stack_work_ = global_work_ = 0;
  revise();
}

void pacer::advance(const progress& since) noexcept {
  live_ += since.allocated;
  scannable_ += since.allocated_scannable;
  heap_work_ += since.heap_scanned;
  stack_work_ += since.stack_scanned;
  global_work_ += since.globals_scanned;
  revise();
}

void pacer::revise() noexcept {
  double percent = percent_ == percent_off ? 100'000 : percent_;
  auto live = static_cast<double>(live_);
  auto work = static_cast<double>(heap_work_ + stack_work_ + global_work_);
  auto heap_goal = static_cast<double>(goal());
  auto expected = static_cast<double>(last_heap_work_ + last_stack_work_ + globals_);
  auto most = static_cast<double>(scannable_ + most_stack_ + globals_);
  if (work > expected) {
    // More than last time: the worst case is expected from here on, and the goal moves along, as far as what is live
    // would have moved it had it been known.
    auto triggered = static_cast<double>(triggered_);
    double further = expected <= 0 ? heap_goal : (heap_goal - triggered) / expected * most + triggered;
    heap_goal = std::min(further, (1 + percent / 100) * heap_goal);
    expected = most;
  }
  if (live > heap_goal) {
    heap_goal *= most_overshoot;
    expected = most;
  }
  double left = std::max(expected - work, least_work);
  double room = std::max(heap_goal - live, 1.0);
  assist_ratio_.store(left / room, std::memory_order_relaxed);
}

void pacer::end_cycle(std::uint64_t marked, std::int64_t assist_time, std::int64_t idle_time, std::int64_t duration,
                      int procs) noexcept {
  double used = background_share;
  double idle = 0;
  if (duration > 0) {
    double all = static_cast<double>(duration) * procs;
    used += static_cast<double>(assist_time) / all;
    idle = static_cast<double>(idle_time) / all;
  }
  auto work = static_cast<double>(heap_work_ + stack_work_ + global_work_);
  if (live_ > triggered_ && work > 0 && used < 1) {
    double now = static_cast<double>(live_ - triggered_) * (used + idle) / (work * (1 - used));
    cons_mark_ = std::max(now, *std::max_element(last_cons_mark_.begin(), last_cons_mark_.end()));
    std::copy(last_cons_mark_.begin() + 1, last_cons_mark_.end(), last_cons_mark_.begin());
    last_cons_mark_.back() = now;
  }
  marked_ = live_ = marked;
  scannable_ = last_heap_work_ = heap_work_;
  last_stack_work_ = stack_work_;
  triggered_ = not_triggered;
  commit();
}

void cpu_limiter::reset(std::int64_t now, int procs) noexcept {
  *this = cpu_limiter();
  last_ = now;
  procs_ = procs;
}

void cpu_limiter::set_procs(std::int64_t now, int procs) noexcept {
  update(now, 0);
  procs_ = procs;
  fill_ = std::min(fill_, capacity());
}

void cpu_limiter::update(std::int64_t now, std::int64_t collector_time) noexcept {
  std::int64_t window = std::max<std::int64_t>(now - last_, 0) * procs_;
  last_ = now;
  std::int64_t program_time = std::max<std::int64_t>(window - collector_time, 0);
  fill_ += collector_time - program_time;
  if (fill_ > capacity()) {
    overflow_ += fill_ - capacity();
    fill_ = capacity();
  }
  if (fill_ < 0) fill_ = 0;
  limiting_ = fill_ == capacity();
}

}  // namespace rt::detail
