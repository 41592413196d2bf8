#include "runtime/sched/timer_heap.h"

namespace rt::detail {

void timer_heap::add(timer_node& node) {
  os::spin_guard guard(lock_);
  slots_.push_back({});
  node.heap.store(this, std::memory_order_relaxed);
  sift_up(slots_.size() - 1, {node.when, &node});
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

std::size_t timer_heap::run(std::int64_t now) noexcept {
  std::size_t count = 0;
  while (next() <= now) {
    timer_node::callback fire = nullptr;
    void* first = nullptr;
    std::uint64_t second = 0;
    {
      os::spin_guard guard(lock_);
      if (slots_.empty() || slots_[0].when > now) break;
      // The node is alive as long as it is armed and the lock is held; afterwards only the copies are used.
      timer_node& node = *slots_[0].node;
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
  for (const slot& one : slots_) {
    other.slots_.push_back({});
    one.node->heap.store(&other, std::memory_order_relaxed);
    other.sift_up(other.slots_.size() - 1, one);
  }
  slots_.clear();
  publish();
  other.publish();
}

void timer_heap::sift_up(std::size_t index, slot moving) noexcept {
  while (index > 0) {
    std::size_t parent = (index - 1) / children;
    if (slots_[parent].when <= moving.when) break;
    slots_[index] = slots_[parent];
    slots_[index].node->index = index;
    index = parent;
  }
  slots_[index] = moving;
  moving.node->index = index;
}

void timer_heap::sift_down(std::size_t index, slot moving) noexcept {
  std::size_t size = slots_.size();
  while (true) {
    std::size_t first = index * children + 1;
    if (first >= size) break;
    std::size_t least = first;
    std::size_t end = first + children < size ? first + children : size;
    for (std::size_t child = first + 1; child < end; ++child) {
      if (slots_[child].when < slots_[least].when) least = child;
    }
    if (slots_[least].when >= moving.when) break;
    slots_[index] = slots_[least];
    slots_[index].node->index = index;
    index = least;
  }
  slots_[index] = moving;
  moving.node->index = index;
}

void timer_heap::take_out(std::size_t index) noexcept {
  timer_node* node = slots_[index].node;
  slot last = slots_.back();
  slots_.pop_back();
  if (index < slots_.size()) {
    if (index > 0 && slots_[(index - 1) / children].when > last.when) {
      sift_up(index, last);
    } else {
      sift_down(index, last);
    }
  }
  node->heap.store(nullptr, std::memory_order_release);  // pairs with remove: the heap does not touch the node again
}

}  // namespace rt::detail
