// How many green threads a group may have.
//
// A start must not pay for it: green threads are counted by P, and the sum over all Ps costs more than the start. So
// a P looks at the sum now and then only: shard::look_at is the number of starts on this P at which it is due again,
// and the start compares two numbers that it has at hand. Without a limit that number is never reached. With one a P
// may start a quarter of its part of what is left, at most most_at_once, before it looks again; near the limit it looks
// at each start.
//
// Invariants
//   1 Looks are made one after the other, under the lock, and near the limit a look takes back what other Ps may still
//     start without one. So the limit is exact but for those that are being started at that very moment: one for each
//     green thread that is inside rt::go.
//   2 Ends are read before beginnings, so the sum is never less than what there is; a start may be refused when another
//     green thread ends at the same time, which is as if it had come a moment earlier.
//   3 Only starts are refused, never what exists: a limit that is lowered below what there is refuses until enough have
//     ended.
//   4 Housekeepers are not counted and not refused (housekeeper.h), nor is the first green thread of a task, which a
//     thread outside of it starts.
//
// Rejected: one counter for all Ps with an atomic addition at each start and end (it costs 20 ns and more as soon as
// two Ps share it, for every group, since a limit may come while the group runs); tokens that Ps keep for themselves
// (those of a P that starts nothing are lost to the others, which then are refused below the limit).
#include <algorithm>
#include <utility>

#include "runtime/sched/group.h"
#include "runtime/sched/scheduler.h"

namespace rt::detail {

namespace {

// Most starts of a P between two looks: so the sum, some 100 ns, costs a start a few nanoseconds at most.
constexpr std::uint64_t most_at_once = 64;
// What part of a P's part of the rest it may start before it looks again: small, so that a P that is given it and then
// starts nothing for a while holds little.
constexpr std::uint64_t part_of_rest = 4;
// A group that has this part less than its limit has left it: the next time that it meets it is told again.
constexpr std::uint64_t part_below = 8;

}  // namespace

void group::set_green_thread_limit(std::uint64_t most) noexcept {
  os::spin_guard guard(green_threads.lock);
  green_threads.most.store(most, std::memory_order_relaxed);
  green_threads.is_met = false;
  // A P that is between its look and its store keeps its number: it looks again after as many starts.
  const std::uint64_t look_at = most == no_limit ? UINT64_MAX : 0;
  for (int i = 0; i < most_procs; ++i) shards[i].look_at.store(look_at, std::memory_order_relaxed);
}

bool group::admit_green_thread(worker* self) noexcept {
  bool tell = false;
  {
    os::spin_guard guard(green_threads.lock);
    const processor* p = self == nullptr ? nullptr : self->usable_proc();
    shard* mine = p == nullptr ? nullptr : &shards[p->id];
    const std::uint64_t most = green_threads.most.load(std::memory_order_relaxed);
    if (most == no_limit) {
      if (mine != nullptr) mine->look_at.store(UINT64_MAX, std::memory_order_relaxed);
      return true;
    }
    const auto procs = static_cast<std::uint64_t>(the_scheduler()->proc_limit());
    std::uint64_t ended = outside.ended.load(std::memory_order_acquire);  // pairs with recycle, as live() does
    for (std::uint64_t i = 0; i < procs; ++i) ended += shards[i].ended.load(std::memory_order_acquire);
    std::uint64_t begun = outside.created.load(std::memory_order_acquire);  // pairs with the start of each
    for (std::uint64_t i = 0; i < procs; ++i) begun += shards[i].created.load(std::memory_order_acquire);
    const std::uint64_t now = begun > ended ? begun - ended : 0;
    if (now < most) {
      const std::uint64_t rest = most - now;
      if (rest > most / part_below) green_threads.is_met = false;
      if (rest <= procs * most_at_once) {
        for (std::uint64_t i = 0; i < procs; ++i) {
          // Looked at first: the line is the other P's.
          if (shards[i].look_at.load(std::memory_order_relaxed) != 0) {
            shards[i].look_at.store(0, std::memory_order_relaxed);
          }
        }
      }
      const std::uint64_t granted = std::clamp<std::uint64_t>(rest / (part_of_rest * procs), 1, most_at_once);
      if (mine != nullptr) {
        mine->look_at.store(mine->created.load(std::memory_order_relaxed) + granted, std::memory_order_relaxed);
      }
      return true;
    }
    tell = !std::exchange(green_threads.is_met, true);
  }
  green_threads.refused.fetch_add(1, std::memory_order_relaxed);
  if (tell) limits.add(*this, limit_kind::green_threads);
  return false;
}

}  // namespace rt::detail
