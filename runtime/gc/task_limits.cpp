// What the limits of a task's memory do.
//
// Above the soft limit the task is slowed down, and collections are asked for. Each time that a cache of the task is
// filled, its green thread rests for up to 10 ms, little when the limit has just been passed and more the nearer the
// hard one is (the square of how far it is on the way; Linux's memory.high does the same). So the task comes to a rate
// at which collections keep up, or crawls towards its hard limit, and the others go on. At the hard limit the green
// thread waits for a collection, and if there is no room after that either, its allocation throws.
//
// A task that lives at its limit must not have the collector run all the time, for which everybody pays: cycles for
// this cause keep a distance of three times the last one's length, and a task must have allocated a sixteenth of its
// soft limit since the last one. The waiting for its turn falls to the task.
//
// Rejected: a cycle at each passing of the limit (a task whose live data are larger than it would cause one at each
// refill); counting what is reachable instead of pages (known once a cycle, too late for a limit that is to hold);
// charging a task's marking to it (its objects are marked on whichever thread comes to them, and the price of knowing
// the owner is a cache line for each object).
#include <algorithm>

#include "runtime/gc/collector.h"
#include "runtime/gc/may_park.h"
#include "runtime/os/clock.h"
#include "runtime/os/critical_section.h"

namespace rt::detail {

namespace {

// The longest rest, in nanoseconds for each `usual_refill` bytes that were handed out; and the longest of all, for
// large objects.
constexpr double longest_rest = 10'000'000;
constexpr std::size_t usual_refill = 8192;
constexpr double longest_rest_of_large = 100'000'000;
// Below this a rest costs more than it is worth, in nanoseconds.
constexpr double shortest_rest = 20'000;
// The part of the soft limit that is allocated above it between two cycles, and at least, in bytes.
constexpr std::size_t part_between_cycles = 16;
constexpr std::size_t least_between_cycles = 64 * 1024;
// How long one at the hard limit waits for destructors, whose objects only then become free, in steps, nanoseconds.
constexpr std::int64_t step_of_wait = 1'000'000;
constexpr int steps_of_wait = 100;

// Whether the caller may rest. In a bubble time does not pass by itself.
bool may_rest() noexcept { return may_park() && the_scheduler()->time() == nullptr; }

}  // namespace

void collector::slow_down(heap_owner& user, std::size_t bytes) noexcept {
  std::size_t used = user.span_bytes();
  std::size_t soft = user.soft_limit();
  if (used <= soft || !accepts_.load(std::memory_order_relaxed)) return;
  // Several green threads of the task may come at once: a few bytes are counted for the cycle before then.
  std::uint64_t cycle = completed();
  if (user.above_limit_since.exchange(cycle, std::memory_order_relaxed) != cycle) {
    user.bytes_above_limit.store(0, std::memory_order_relaxed);
  }
  std::uint64_t since = user.bytes_above_limit.fetch_add(bytes, std::memory_order_relaxed) + bytes;
  std::int64_t now = os::nanotime();
  bool is_due = since >= std::max(soft / part_between_cycles, least_between_cycles) &&
                now >= task_limit_turn_.load(std::memory_order_relaxed);
  if (is_due && !is_marking() && !asked_.exchange(true, std::memory_order_relaxed)) request(cycle_cause::task_limit);
  if (!may_rest()) return;
  std::size_t hard = user.hard_limit();
  std::size_t way = std::max<std::size_t>(hard == SIZE_MAX || hard <= soft ? soft : hard - soft, 1);
  double gone = std::min(1.0, static_cast<double>(used - soft) / static_cast<double>(way));
  double rest = longest_rest * gone * gone * std::max(1.0, static_cast<double>(bytes) / usual_refill);
  if (rest < shortest_rest) return;
  user.count_limit_wait();
  park_until(wait_reason::collection, now + static_cast<std::int64_t>(std::min(rest, longest_rest_of_large)));
}

void collector::wait_for_turn() noexcept {
  std::int64_t turn = task_limit_turn_.load(std::memory_order_relaxed);
  if (may_rest() && os::nanotime() < turn) park_until(wait_reason::collection, turn);
}

bool collector::at_limit(heap_owner& user, int attempt) noexcept {
  if (attempt != 0 || !accepts_.load(std::memory_order_relaxed) || os::in_critical_section()) return false;
  user.count_limit_wait();
  wait_for_turn();
  std::uint64_t taken = user.dead.taken.load(std::memory_order_relaxed);
  collect(cycle_cause::task_limit);
  if (user.dead.is_busy() || user.dead.taken.load(std::memory_order_relaxed) != taken) {
    // Their objects are freed by the cycle after their destructors. One of those may wait for the caller, or be it: not
    // for ever.
    for (int i = 0; i < steps_of_wait && user.dead.is_busy() && may_rest(); ++i) {
      park_until(wait_reason::collection, os::nanotime() + step_of_wait);
    }
    collect(cycle_cause::task_limit);
  }
  return true;
}

void collector::task_ended(std::size_t bytes) noexcept {
  if (!accepts_.load(std::memory_order_relaxed)) return;
  std::uint64_t before = left_behind_.fetch_add(bytes, std::memory_order_relaxed);
  if (before < much_left_behind && before + bytes >= much_left_behind) request(cycle_cause::task_end);
}

}  // namespace rt::detail
