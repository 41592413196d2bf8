#include "runtime/sched/fair_queue.h"

#include "runtime/os/clock.h"
#include "runtime/sched/green_thread.h"

namespace rt::detail {

namespace {

// What the latency class may use at a stretch before it competes by weight, in nanoseconds for each P: one slice.
constexpr double budget_per_proc = 10'000'000;
// How far it may be overdrawn, in budgets: a second for each P, which a green thread that seldom polls may take.
constexpr double most_debt = 100;
// What part of the Ps' time the budget grows by.
constexpr double refill_rate = 0.5;

group_share& share_of(green_thread& one) noexcept { return one.member_of.load(std::memory_order_relaxed)->share; }

// Two heaps into one: the root with the smaller key stays (the first one if they are equal) and takes the other as its
// youngest child.
group_share* meld(group_share* first, group_share* second) noexcept {
  if (first == nullptr) return second;
  if (second == nullptr) return first;
  if (second->key < first->key) {
    group_share* swap = first;
    first = second;
    second = swap;
  }
  second->sibling = first->child;
  first->child = second;
  return first;
}

// The children of a removed root: in pairs from the left, then together from the right. That order is what bounds the
// cost (amortised logarithmic).
group_share* meld_siblings(group_share* first) noexcept {
  group_share* pairs = nullptr;  // linked by sibling, the last pair first
  while (first != nullptr) {
    group_share* left = first;
    group_share* right = left->sibling;
    first = right == nullptr ? nullptr : right->sibling;
    left->sibling = nullptr;
    if (right != nullptr) right->sibling = nullptr;
    group_share* pair = meld(left, right);
    pair->sibling = pairs;
    pairs = pair;
  }
  group_share* all = nullptr;
  while (pairs != nullptr) {
    group_share* next = pairs->sibling;
    pairs->sibling = nullptr;
    all = meld(all, pairs);
    pairs = next;
  }
  return all;
}

void lift(std::atomic<double>& value, double least) noexcept {
  double now = value.load(std::memory_order_relaxed);
  while (now < least && !value.compare_exchange_weak(now, least, std::memory_order_relaxed)) {
  }
}

}  // namespace

std::atomic<int> fair_queue::special_groups_{0};

// ---------------------------------------------------------------------------------------------------------------------
// A pairing heap whose nodes are the groups themselves: no memory is ever needed under the lock.

void fair_queue::heap::push(group_share& one) noexcept {
  one.key = one.virtual_time.load(std::memory_order_relaxed);
  one.child = nullptr;
  one.sibling = nullptr;
  top = meld(top, &one);
}

void fair_queue::heap::pop() noexcept {
  group_share* children = top->child;
  top->child = nullptr;
  top = meld_siblings(children);
}

void fair_queue::heap::settle() noexcept {
  while (top != nullptr && top->key < top->virtual_time.load(std::memory_order_relaxed)) {
    group_share& behind = *top;  // it ran on some P since
    pop();
    push(behind);
  }
}

// Rare (a group's settings change): takes the heap apart and puts it together without `one`.
void fair_queue::heap::remove(group_share& one) noexcept {
  group_share* kept = nullptr;  // linked by sibling
  while (top != nullptr) {
    group_share* next = top;
    pop();
    if (next == &one) continue;
    next->sibling = kept;
    kept = next;
  }
  while (kept != nullptr) {
    group_share* next = kept->sibling;
    push(*kept);
    kept = next;
  }
}

// ---------------------------------------------------------------------------------------------------------------------

void fair_queue::enqueue_locked(group_share& share) noexcept {
  lift(share.virtual_time, virtual_now_);
  heap_of(share).push(share);
}

void fair_queue::append_locked(group_share& share, green_thread& one) noexcept {
  one.link = nullptr;
  (share.first == nullptr ? share.first : share.last->link) = &one;
  share.last = &one;
  ++share.waiting;
}

bool fair_queue::push(green_thread& one) noexcept {
  group_share& share = share_of(one);
  os::spin_guard guard(lock_);
  const bool is_first = share.first == nullptr;
  append_locked(share, one);
  if (share.quota.throttled.load(std::memory_order_relaxed)) return false;
  if (is_first) enqueue_locked(share);
  bool first_class = share.kind.load(std::memory_order_relaxed) == share_class::latency;
  if (first_class) {
    latency_size_.store(latency_size_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    refill_locked();
    first_class = budget_ > 0;
  }
  // seq_cst: the fence of invariant 3 of scheduler.h between publishing here and looking for spinning Ms.
  size_.store(size_.load(std::memory_order_relaxed) + 1, std::memory_order_seq_cst);
  return first_class;
}

void fair_queue::refill_locked() noexcept {
  std::uint64_t now = os::cycles();
  double procs = procs_.load(std::memory_order_relaxed);
  double most = budget_per_proc * os::cycles_per_nanosecond() * procs;
  if (refilled_at_ == 0) {
    budget_ = most;
  } else if (now > refilled_at_) {  // cores may differ by some cycles
    budget_ += static_cast<double>(now - refilled_at_) * procs * refill_rate;
  }
  refilled_at_ = now;
  budget_ -= static_cast<double>(latency_spent_.exchange(0, std::memory_order_relaxed));
  if (budget_ > most) budget_ = most;
  // What was used by weight, while nobody else wanted to run, is no debt for ever.
  if (budget_ < -most_debt * most) budget_ = -most_debt * most;
}

green_thread* fair_queue::take_one_locked(heap& from) noexcept {
  group_share& share = *from.top;
  green_thread* one = share.first;
  share.first = one->link;
  one->link = nullptr;
  --share.waiting;
  if (share.first == nullptr) {
    share.last = nullptr;
    from.pop();
  }
  if (&from == &latency_) {
    latency_size_.store(latency_size_.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
  }
  size_.store(size_.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
  return one;
}

green_thread* fair_queue::take_first_class() noexcept {
  if (latency_size_.load(std::memory_order_relaxed) == 0) return nullptr;
  os::spin_guard guard(lock_);
  if (latency_.top == nullptr) return nullptr;
  refill_locked();
  if (budget_ <= 0) return nullptr;
  latency_.settle();
  return take_one_locked(latency_);
}

fair_queue::heap* fair_queue::choose_locked() noexcept {
  latency_.settle();
  normal_.settle();
  if (latency_.top == nullptr) return normal_.top == nullptr ? nullptr : &normal_;
  refill_locked();
  if (budget_ > 0 || normal_.top == nullptr || latency_.top->key < normal_.top->key) return &latency_;
  return &normal_;
}

std::uint32_t fair_queue::take(batch& out, std::uint32_t most) noexcept {
  if (size_.load(std::memory_order_seq_cst) == 0) return 0;
  os::spin_guard guard(lock_);
  heap* from = choose_locked();
  if (from == nullptr) return 0;
  group_share& chosen = *from->top;
  if (from == &latency_) {
    // What the class uses before its turn moves nobody else's start.
    if (budget_ <= 0 && virtual_now_ < chosen.key) virtual_now_ = chosen.key;
    out[0] = take_one_locked(*from);
    return 1;
  }
  if (virtual_now_ < chosen.key) virtual_now_ = chosen.key;
  // The other Ps get their part of what waits.
  std::uint32_t part = chosen.waiting / static_cast<std::uint32_t>(procs_.load(std::memory_order_relaxed)) + 1;
  std::uint32_t wanted = part < most ? part : most;
  if (wanted > chosen.waiting) wanted = chosen.waiting;
  for (std::uint32_t i = 0; i < wanted; ++i) out[i] = take_one_locked(*from);
  return wanted;
}

bool fair_queue::is_still_first(const group_share& share) noexcept {
  if (share.quota.throttled.load(std::memory_order_relaxed)) return false;
  if (size_.load(std::memory_order_relaxed) == 0) return true;
  os::spin_guard guard(lock_);
  heap* from = choose_locked();
  if (from == nullptr) return true;
  bool in_latency = share.kind.load(std::memory_order_relaxed) == share_class::latency;
  if (in_latency && from == &normal_) {
    refill_locked();
    if (budget_ > 0) return true;
  }
  if (!in_latency && from == &latency_ && budget_ > 0) return false;
  return share.virtual_time.load(std::memory_order_relaxed) < from->top->key;
}

green_thread* fair_queue::take_any() noexcept {
  if (size_.load(std::memory_order_seq_cst) == 0) return nullptr;
  os::spin_guard guard(lock_);
  if (latency_.top != nullptr) return take_one_locked(latency_);
  if (normal_.top != nullptr) return take_one_locked(normal_);
  return nullptr;
}

// ---------------------------------------------------------------------------------------------------------------------
// Settings

void fair_queue::count_special(bool before, bool after) noexcept {
  if (before == after) return;
  special_groups_.fetch_add(after ? 1 : -1, std::memory_order_relaxed);
}

void fair_queue::set_idle(group_share& share, std::uint32_t weight, share_class kind) noexcept {
  bool before = !share.is_default();
  share.weight.store(weight, std::memory_order_relaxed);
  share.kind.store(kind, std::memory_order_relaxed);
  count_special(before, !share.is_default());
}

void fair_queue::change(group_share& share, std::uint32_t weight, share_class kind) noexcept {
  os::spin_guard guard(lock_);
  bool queued = share.first != nullptr && !share.quota.throttled.load(std::memory_order_relaxed);
  if (queued) {
    heap_of(share).remove(share);
  }
  bool was_latency = share.kind.load(std::memory_order_relaxed) == share_class::latency;
  bool is_latency = kind == share_class::latency;
  set_idle(share, weight, kind);
  // What it used under the old settings is settled: it starts level with the others.
  share.virtual_time.store(virtual_now_, std::memory_order_relaxed);
  if (queued) {
    if (was_latency != is_latency) {
      std::uint64_t others = latency_size_.load(std::memory_order_relaxed) - (was_latency ? share.waiting : 0);
      latency_size_.store(others + (is_latency ? share.waiting : 0), std::memory_order_relaxed);
    }
    enqueue_locked(share);
  }
}

}  // namespace rt::detail
