#include "runtime/heap/dead_objects.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "runtime/heap/dead_object_search.h"
#include "runtime/heap/heap_owner.h"
#include "runtime/heap/poison.h"
#include "runtime/heap/table_pool.h"
#include "runtime/os/spin_lock.h"

namespace rt::detail {

// Objects in one block of a queue: so few that each task may have one, so many that a big queue has few: 1 KiB.
constexpr std::size_t objects_per_block = 40;

struct dead_block {
  dead_block* pool_link = nullptr;
  dead_block* next = nullptr;
  std::size_t count = 0;
  dead_object objects[objects_per_block] = {};
  void reset() noexcept {
    next = nullptr;
    count = 0;
  }
};

namespace {

table_pool<dead_block> blocks;
os::spin_lock queue_lock{os::lock_rank::none};
heap_owner* first_listed RT_GUARDED_BY(queue_lock) = nullptr;  // those that wait for a server
std::atomic<std::size_t> queued{0};

// What stands in the place of the destructor while the object is in the queue.
void is_queued(void*) {}

std::atomic_ref<destructor> destructor_of(const span& in, std::size_t index) noexcept {
  char* place = in.slot(index) + in.element_size() - sizeof(destructor);
  unpoison(place, sizeof(destructor));
  return std::atomic_ref<destructor>(*reinterpret_cast<destructor*>(place));
}

void list(heap_owner& one) noexcept RT_REQUIRES(queue_lock) {
  if (one.dead.is_listed) return;
  one.dead.is_listed = true;
  one.dead.previous = nullptr;
  one.dead.next = first_listed;
  if (first_listed != nullptr) first_listed->dead.previous = &one;
  first_listed = &one;
}

void unlist(heap_owner& one) noexcept RT_REQUIRES(queue_lock) {
  if (!one.dead.is_listed) return;
  one.dead.is_listed = false;
  (one.dead.previous == nullptr ? first_listed : one.dead.previous->dead.next) = one.dead.next;
  if (one.dead.next != nullptr) one.dead.next->dead.previous = one.dead.previous;
}

// Relaxed, all changes: the lock orders them, and other readers take them for what they are at about that moment.
template <class Number>
void add(std::atomic<Number>& to, Number more) noexcept RT_REQUIRES(queue_lock) {
  to.store(static_cast<Number>(to.load(std::memory_order_relaxed) + more), std::memory_order_relaxed);
}

void list_if_unserved(heap_owner& one) noexcept RT_REQUIRES(queue_lock) {
  if (one.dead.servers.load(std::memory_order_relaxed) == 0 && one.dead.count.load(std::memory_order_relaxed) != 0) {
    list(one);
  }
}

}  // namespace

bool queue_dead_object(span& in, std::size_t index) noexcept {
  std::atomic_ref<destructor> word = destructor_of(in, index);
  destructor how = word.load(std::memory_order_acquire);  // pairs with set_destructor
  if (how == nullptr) return false;
  if (how == &is_queued) return true;
  // Room first: the pool's lock is not taken under the queue's.
  dead_block* spare = blocks.take();
  if (spare == nullptr) return true;                              // no memory: the next sweep finds it again
  heap_owner& owner = *in.owner.load(std::memory_order_relaxed);  // the span is the sweeper's
  {
    os::spin_guard guard(queue_lock);
    dead_queue& queue = owner.dead;
    if (queue.first == nullptr || queue.first->count == objects_per_block) {
      spare->next = queue.first;
      if (queue.first == nullptr) queue.last = spare;
      queue.first = spare;
      spare = nullptr;
    }
    word.store(&is_queued, std::memory_order_relaxed);
    queue.first->objects[queue.first->count++] = {&in, in.slot(index), how};
    add(queue.count, std::size_t{1});
    list_if_unserved(owner);
    queued.fetch_add(1, std::memory_order_relaxed);
  }
  if (spare != nullptr) blocks.give_back(*spare);
  return true;
}

bool take_dead_object(heap_owner& of, dead_object& to) noexcept {
  dead_block* empty = nullptr;
  bool found = false;
  {
    os::spin_guard guard(queue_lock);
    dead_queue& queue = of.dead;
    found = queue.first != nullptr;
    if (found) {
      dead_block& block = *queue.first;
      to = block.objects[--block.count];
      if (block.count == 0) {
        queue.first = block.next;
        empty = &block;
      }
      add(queue.count, ~std::size_t{0});
      add(queue.taken, std::uint64_t{1});
      queued.fetch_sub(1, std::memory_order_relaxed);
    } else {
      add(queue.servers, ~std::uint32_t{0});
    }
  }
  if (empty != nullptr) blocks.give_back(*empty);
  return found;
}

void stop_serving(heap_owner& of) noexcept {
  os::spin_guard guard(queue_lock);
  add(of.dead.servers, ~std::uint32_t{0});
  list_if_unserved(of);
}

heap_owner* serve_next_owner(bool (*admit)(heap_owner& one) noexcept) noexcept {
  os::spin_guard guard(queue_lock);
  while (first_listed != nullptr) {
    heap_owner& one = *first_listed;
    unlist(one);
    // One that is refused is about to end: what it has goes to its heir.
    if (!admit(one)) continue;
    add(one.dead.servers, std::uint32_t{1});
    return &one;
  }
  return nullptr;
}

void list_if_stuck(heap_owner& one, std::uint32_t most) noexcept {
  os::spin_guard guard(queue_lock);
  dead_queue& queue = one.dead;
  std::uint32_t servers = queue.servers.load(std::memory_order_relaxed);
  std::uint64_t taken = queue.taken.load(std::memory_order_relaxed);
  bool is_stuck = servers != 0 && queue.count.load(std::memory_order_relaxed) != 0 && taken == queue.taken_at_last_look;
  queue.taken_at_last_look = taken;
  if (is_stuck && servers < most) list(one);
}

void hand_down_dead_objects(heap_owner& from, heap_owner& heir) noexcept {
  os::spin_guard guard(queue_lock);
  unlist(from);
  std::size_t count = from.dead.count.load(std::memory_order_relaxed);
  if (count != 0) {
    if (heir.dead.first == nullptr) heir.dead.last = from.dead.last;
    from.dead.last->next = std::exchange(heir.dead.first, from.dead.first);
    add(heir.dead.count, count);
    list_if_unserved(heir);
  }
  from.dead.first = nullptr;
  from.dead.count.store(0, std::memory_order_relaxed);
  // Those of a server that was moved to another group (sched/housekeeper.h) are in no queue.
  from.dead.servers.store(0, std::memory_order_relaxed);
  from.dead.taken.store(0, std::memory_order_relaxed);
  from.dead.taken_at_last_look = 0;
}

bool is_destructor_due(const span& in, std::size_t index) noexcept {
  return in.kind.load(std::memory_order_relaxed) == span_kind::destroyed &&
         destructor_of(in, index).load(std::memory_order_relaxed) == &is_queued;
}

bool has_dead_object_of(const heap_owner& of, std::uintptr_t low, std::uintptr_t high) noexcept {
  os::spin_guard guard(queue_lock);
  for (const dead_block* block = of.dead.first; block != nullptr; block = block->next) {
    for (std::size_t i = 0; i < block->count; ++i) {
      auto how = reinterpret_cast<std::uintptr_t>(block->objects[i].how);
      if (how >= low && how < high) return true;
    }
  }
  return false;
}

std::size_t dead_object_count() noexcept { return queued.load(std::memory_order_relaxed); }

std::size_t dead_queue_bytes() noexcept { return blocks.made_bytes(); }

void destructor_called(const dead_object& one) noexcept {
  std::size_t index = 0;
  if (!one.in->is_large()) {
    index = static_cast<std::size_t>(static_cast<char*>(one.object) - one.in->begin()) / one.in->shape().size;
  }
  // Release: pairs with the sweep that frees the slot.
  destructor_of(*one.in, index).store(nullptr, std::memory_order_release);
}

void set_large_destructor(void* object, destructor how) noexcept {
  span* in = span_of(reinterpret_cast<std::uintptr_t>(object));
  destructor_of(*in, 0).store(how, std::memory_order_release);  // pairs with queue_dead_object
}

}  // namespace rt::detail
