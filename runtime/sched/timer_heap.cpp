#include "runtime/sched/timer_heap.h"

#include "runtime/sched/park.h"
#include "runtime/sched/sharing_domain.h"

namespace rt::detail {

namespace {

// Whom the timer may wake: whoever shares objects with the green thread that arms it. A callback that arms its own
// timer again (a ticker) leaves it what it is; a thread of the program's own may share with anybody.
void note_domain(timer_node& node) noexcept {
  worker* self = current_worker();
  if (self != nullptr && self->current != nullptr) {
    node.domain = &self->current->member_of.load(std::memory_order_relaxed)->sharing();
  } else if (self == nullptr || node.domain == nullptr) {
    node.domain = &shared_by_all();
  }
}

}  // namespace

void timer_heap::count_armed(const timer_node& node) noexcept {
  if (node.ends_own_wait) return;
  bump(node.domain->timers[place_].armed);
}

void timer_heap::count_over(const timer_node& node) noexcept {
  if (node.ends_own_wait) return;
  bump(node.domain->timers[place_].over);
}

timer_heap::~timer_heap() RT_NO_THREAD_SAFETY_ANALYSIS {
  // No thread and no green thread is left. Only timers of handles that outlive the runtime are here.
  while (count_ != 0) {
    timer_node& node = *at(count_ - 1).node;
    --count_;
    node.heap.store(nullptr, std::memory_order_relaxed);
    node.fire(node.first, timer_node::heap_ends);
  }
}

void timer_heap::push(slot one) {
  if ((count_ + root_place) / slots_in_piece >= pieces_.size()) {
    pieces_.emplace_back(os::page_allocator<piece>::allocate(1));  // initialising would touch its pages
  }
  ++count_;
  sift_up(count_ - 1, one);
}

void timer_heap::shrink() noexcept {
  // One piece more than needed stays, so that a few timers more or less at its edge cost nothing.
  std::size_t needed = (count_ + root_place) / slots_in_piece + 1;
  if (pieces_.size() > needed + 1) pieces_.pop_back();
}

void timer_heap::add(timer_node& node) {
  if (!node.ends_own_wait) note_domain(node);
  os::spin_guard guard(lock_);
  push({node.when, &node});
  count_armed(node);
  node.heap.store(this, std::memory_order_relaxed);
  publish();
}

bool timer_heap::remove(timer_node& node) noexcept {
  while (true) {
    timer_heap* heap = node.heap.load(std::memory_order_acquire);  // pairs with take_out's release
    if (heap == nullptr) return false;
    os::spin_guard guard(heap->lock_);
    // The node may have fired, or moved with its P's timers, before the lock was ours.
    if (node.heap.load(std::memory_order_relaxed) != heap) continue;
    heap->take_out(node.index);
    heap->publish();
    return true;
  }
}

std::int64_t timer_heap::latest() noexcept {
  os::spin_guard guard(lock_);
  std::int64_t latest = 0;
  for (std::size_t i = 0; i < count_; ++i) latest = at(i).when > latest ? at(i).when : latest;
  return latest;
}

std::size_t timer_heap::run(std::int64_t now) noexcept {
  std::size_t count = 0;
  while (next() <= now) {
    timer_node::callback fire = nullptr;
    void* first = nullptr;
    std::uint64_t second = 0;
    {
      os::spin_guard guard(lock_);
      if (count_ == 0 || at(0).when > now) break;
      // The node is alive as long as it is armed and the lock is held; afterwards only the copies are used.
      timer_node& node = *at(0).node;
      fire = node.fire;
      first = node.first;
      second = node.second;
      take_out(0);
      publish();
    }
    fire(first, second);
    ++count;
  }
  if (count != 0) fired_.fetch_add(count, std::memory_order_relaxed);
  return count;
}

void timer_heap::move_to(timer_heap& other) RT_NO_THREAD_SAFETY_ANALYSIS {
  // Both locks at once: a remove() by a thread without a P finds each timer in one heap or the other.
  os::spin_guard from(lock_);
  os::spin_guard to(other.lock_);
  for (std::size_t i = 0; i < count_; ++i) {
    slot one = at(i);
    other.push(one);
    other.count_armed(*one.node);
    count_over(*one.node);
    one.node->heap.store(&other, std::memory_order_relaxed);
  }
  count_ = 0;
  pieces_.clear();
  publish();
  other.publish();
}

void timer_heap::sift_up(std::size_t index, slot moving) noexcept {
  while (index > 0) {
    std::size_t parent = (index - 1) / children;
    slot above = at(parent);
    if (above.when <= moving.when) break;
    at(index) = above;
    above.node->index = index;
    index = parent;
  }
  at(index) = moving;
  moving.node->index = index;
}

void timer_heap::sift_down(std::size_t index, slot moving) noexcept {
  while (true) {
    std::size_t first = index * children + 1;
    if (first >= count_) break;
    // The children of one slot never lie in two pieces.
    const slot* child = &at(first);
    std::size_t number = first + children < count_ ? children : count_ - first;
    std::size_t least = 0;
    for (std::size_t i = 1; i < number; ++i) {
      if (child[i].when < child[least].when) least = i;
    }
    if (child[least].when >= moving.when) break;
    at(index) = child[least];
    child[least].node->index = index;
    index = first + least;
  }
  at(index) = moving;
  moving.node->index = index;
}

void timer_heap::take_out(std::size_t index) noexcept {
  timer_node* node = at(index).node;
  count_over(*node);
  slot last = at(count_ - 1);
  --count_;
  if (index < count_) {
    if (index > 0 && at((index - 1) / children).when > last.when) {
      sift_up(index, last);
    } else {
      sift_down(index, last);
    }
  }
  shrink();
  node->heap.store(nullptr, std::memory_order_release);  // pairs with remove: the heap does not touch the node again
}

}  // namespace rt::detail
