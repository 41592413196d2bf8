#include "runtime/sched/deadlock_watch.h"

#include <algorithm>
#include <new>

#include "runtime/os/thread_census.h"
#include "runtime/sched/group_registry.h"
#include "runtime/sched/scheduler.h"
#include "runtime/sched/sharing_domain.h"

namespace rt::detail {

namespace {

// All in nanoseconds. A second is long beside every step of the runtime that two pictures must not both catch half
// done, and short beside the time for which a deadlocked task stands still anyhow.
constexpr std::int64_t apart = 1'000'000'000;
constexpr std::int64_t busy_every = 10'000'000'000;
// Ten times the longest delay of restarts by default.
constexpr std::int64_t restart_patience = 300'000'000'000;

std::uint64_t activity_of(const group& one, int procs) noexcept {
  auto sum = [](const group::shard& part) {
    return part.created.load(std::memory_order_relaxed) + part.ended.load(std::memory_order_relaxed) +
           part.cycles.load(std::memory_order_relaxed);
  };
  std::uint64_t all = sum(one.outside);
  for (int i = 0; i < procs; ++i) all += sum(one.shards[i]);
  return all;
}

struct timer_figures {
  std::uint64_t armed = 0;
  bool pending = false;
};

// Of all domains whose timers might wake a green thread of this one.
timer_figures timers_that_reach(const sharing_domain& domain, int procs) noexcept {
  timer_figures sum;
  for_each_domain([&](const sharing_domain& other) {
    if (!other.shares_with(domain)) return;
    std::uint64_t over = 0;
    std::uint64_t armed = 0;
    for (int i = 0; i < procs; ++i) over += other.timers[i].over.load(std::memory_order_acquire);
    for (int i = 0; i < procs; ++i) armed += other.timers[i].armed.load(std::memory_order_acquire);
    sum.armed += armed;
    sum.pending |= armed != over;
  });
  return sum;
}

bool is_empty(const group& one) noexcept { return one.live() == 0 && one.housekeepers.count() == 0; }

// What a dead group looks like at a look, stack by stack aside.
bool stands_still(const group& one) noexcept { return one.notes.not_waiting_at != one.notes.activity || is_empty(one); }

std::uint64_t mixed(const void* one, std::uint32_t runs) noexcept {
  std::uint64_t word = reinterpret_cast<std::uintptr_t>(one) ^ (std::uint64_t{runs} << 40);
  word *= 0x9e3779b97f4a7c15U;  // 2^64 / golden ratio: spreads what differs in few bits
  return word ^ (word >> 29);
}

}  // namespace

std::uint64_t deadlock_watch::activity() const noexcept {
  std::uint64_t sum = scheduler_.counters().created_outside.load(std::memory_order_relaxed);
  int procs = scheduler_.proc_limit();
  for (int i = 0; i < procs; ++i) sum += scheduler_.proc(i).switches.load(std::memory_order_relaxed);
  return sum;
}

std::int64_t deadlock_watch::time_to_idle_look(std::int64_t now) const noexcept {
  if (activity() != settled_at_) return apart;
  if (patience_ends_ == INT64_MAX) return -1;
  return patience_ends_ > now ? patience_ends_ - now : 0;
}

bool deadlock_watch::others_may_be_dead(const group& one) const noexcept {
  return std::all_of(groups_.begin(), groups_.end(), [&](const group* other) {
    if (!other->sharing().shares_with(one.sharing())) return true;
    return stands_still(*other) && (all_idle_ || !other->notes.moved || is_empty(*other));
  });
}

// Everything that can be known without looking at green threads.
bool deadlock_watch::may_be_dead(const group& one, std::int64_t now) noexcept {
  if (one.on_deadlock() == nullptr || one.domain.is_cancelled() || one.live() == 0) return false;
  if (one.notes.reported_at == one.notes.activity) return false;
  if (!others_may_be_dead(one)) return false;
  if (timers_that_reach(one.sharing(), scheduler_.proc_limit()).pending) return false;
  std::int64_t end = group_registry::last_end_without_successor(one.sharing());
  if (end != INT64_MIN && now - end < restart_patience) {
    patience_ends_ = std::min(patience_ends_, end + restart_patience);
    return false;
  }
  return os::only_own_threads();
}

void deadlock_watch::take_picture() {
  ++picture_;
  int procs = scheduler_.proc_limit();
  for (group* one : groups_) {
    one->notes.before = one->notes.now;
    one->notes.now = {picture_, true, 0, 0, 0, timers_that_reach(one->sharing(), procs).armed};
  }
  std::vector<group*> sorted = groups_;
  std::sort(sorted.begin(), sorted.end());
  group* last = nullptr;
  stacks().for_each_slot([&](const stack_slot& slot) {
    const green_thread& one = *descriptor_of(slot.base, slot.size, slot.index);
    phase where = one.where.load(std::memory_order_acquire);
    if (!is_alive(where)) return;
    group* owner = one.member_of.load(std::memory_order_relaxed);
    if (owner != last) {
      // Only looked up: a group that is not pinned may be gone.
      if (!std::binary_search(sorted.begin(), sorted.end(), owner)) return;
      last = owner;
    }
    watch_notes::picture& now = last->notes.now;
    now.switches += mixed(&one, one.thread_switch.load(std::memory_order_relaxed));
    // One that calls foreign code may wake others, and waits like them; one that has nothing to do waits for good.
    bool keeps_house = one.keeps_house.load(std::memory_order_relaxed) != housekeeping::none;
    ++(keeps_house ? now.housekeepers : now.green_threads);
    bool waits = where == phase::waiting && park_word::waits(one.park.load(std::memory_order_relaxed)) &&
                 !one.timed_wait.load(std::memory_order_relaxed) &&
                 is_between_green_threads(one.waits_for.load(std::memory_order_relaxed));
    if (!waits) now.all_wait = false;
  });
  coroutines().for_each([&](const coroutine_record& one) {
    coroutine_crew* crew = one.crew.load(std::memory_order_acquire);  // pairs with its start
    if (crew == nullptr) return;
    auto whose = std::find_if(groups_.begin(), groups_.end(), [&](const group* of) { return &of->crew == crew; });
    if (whose == groups_.end()) return;
    watch_notes::picture& now = (*whose)->notes.now;
    now.switches += mixed(&one, one.resumed.load(std::memory_order_relaxed));
    ++now.green_threads;
    // One that runs does what its carrier does, which was looked at above.
    const phase where = one.where.load(std::memory_order_relaxed);
    if (where == phase::running) return;
    bool waits = where == phase::waiting && park_word::waits(one.park.load(std::memory_order_relaxed)) &&
                 !one.timed_wait.load(std::memory_order_relaxed) &&
                 is_between_green_threads(one.waits_for.load(std::memory_order_relaxed));
    if (!waits) now.all_wait = false;
  });
  for (group* one : groups_) {
    watch_notes& notes = one->notes;
    // One begins or ends right now?
    if (one->live() != notes.now.green_threads) notes.now.all_wait = false;
    if (one->housekeepers.count() != notes.now.housekeepers) notes.now.all_wait = false;
    if (!notes.now.all_wait) notes.not_waiting_at = notes.activity;
  }
}

// Whether each P has finished what it was at when the picture before was taken. Notes where it is now.
bool deadlock_watch::processors_moved_on() noexcept {
  bool all = true;
  auto procs = static_cast<std::size_t>(scheduler_.proc_count());
  if (procs != ticks_.size()) {
    ticks_.resize(procs);
    all = false;
  }
  for (std::size_t i = 0; i < procs; ++i) {
    processor& p = scheduler_.proc(static_cast<int>(i));
    std::uint32_t tick = p.tick.load(std::memory_order_acquire);
    if (!p.idle.load(std::memory_order_acquire) && tick == ticks_[i]) all = false;
    ticks_[i] = tick;
  }
  return all;
}

bool deadlock_watch::is_dead(const group& one) const noexcept {
  return std::all_of(groups_.begin(), groups_.end(), [&](const group* other) {
    if (!other->sharing().shares_with(one.sharing())) return true;
    const watch_notes::picture& now = other->notes.now;
    const watch_notes::picture& before = other->notes.before;
    return now.all_wait && before.all_wait && before.number + 1 == now.number &&
           now.green_threads == before.green_threads && now.switches == before.switches && now.timers == before.timers;
  });
}

void deadlock_watch::look(std::int64_t now, bool all_idle) noexcept {
  bool undecided = false;
  std::uint64_t activity_now = activity();
  try {
    all_idle_ = all_idle;
    patience_ends_ = INT64_MAX;
    groups_.clear();
    group_registry::pin_all(groups_);
    int procs = scheduler_.proc_limit();
    for (group* one : groups_) {
      std::uint64_t fresh = activity_of(*one, procs);
      one->notes.moved = fresh != one->notes.activity;
      one->notes.activity = fresh;
    }
    auto suspect = [&](const group* one) { return may_be_dead(*one, now); };
    undecided = std::any_of(groups_.begin(), groups_.end(), suspect);
    if (undecided && (all_idle || now >= next_picture_)) {
      undecided = false;
      // A picture that is too young proves nothing; its number is then passed over.
      if (now - picture_at_ < apart) ++picture_;
      take_picture();
      picture_at_ = now;
      bool moved_on = processors_moved_on();
      for (group* one : groups_) {
        if (!may_be_dead(*one, now)) continue;
        if (moved_on && is_dead(*one)) {
          one->notes.reported_at = one->notes.activity;
          one->on_deadlock()(*one);
        } else if (one->notes.now.all_wait) {
          undecided = true;
        }
      }
      confirming_ = undecided && !confirming_;
      next_picture_ = confirming_ ? now : now + busy_every;
    }
  } catch (const std::bad_alloc&) {
    // The next look may have the memory.
  }
  for (group* one : groups_) group_registry::unpin(*one);
  groups_.clear();
  // Only an idle look judges groups that have moved since the one before.
  settled_at_ = all_idle && !undecided ? activity_now : UINT64_MAX;
  next_look_ = now + apart;
}

}  // namespace rt::detail
