// The pool: for each processor (P) a stack of objects under a lock that nobody else wants, and the stack of what was
// there at the last collection.
//
// A collection moves each stack to the second place and destroys what it finds there, so an object is dropped that
// nobody has taken for two collections. Objects are put and taken under the shard's lock, and made and destroyed under
// none. The nodes that hold objects stay with their shard and are used again: a put allocates only when the shard has
// never held so many.
//
// The race by name: *the end of a pool against a collection*. The collector pins the pool that it works on, under the
// lock of the list; the end of a pool waits until nobody has it pinned. A pinned pool stays in the list, so the
// collector finds the next one from it.
#include "rt/pool.h"

#include <atomic>
#include <ctime>
#include <memory>
#include <new>
#include <utility>

#include "runtime/os/spin_lock.h"
#include "runtime/sched/clock.h"
#include "runtime/sched/collection_hook.h"
#include "runtime/sync/shards.h"

namespace rt::detail {

namespace {

struct pool_node {
  pool_node* next;
  void* object;
};

/// A stack of nodes.
class node_stack {
 public:
  void push(pool_node& one) noexcept {
    one.next = first_;
    first_ = &one;
  }
  pool_node* pop() noexcept {
    pool_node* one = first_;
    if (one != nullptr) first_ = one->next;
    return one;
  }

 private:
  pool_node* first_ = nullptr;
};

struct alignas(64) pool_shard {
  os::spin_lock lock{os::lock_rank::pool_shard};
  std::atomic<std::uint32_t> held{0};     // objects in both stacks; read without the lock as a hint
  node_stack recent RT_GUARDED_BY(lock);  // put since the last collection
  node_stack unused RT_GUARDED_BY(lock);  // put before
  node_stack free_nodes RT_GUARDED_BY(lock);

  void* take() noexcept {
    if (held.load(std::memory_order_relaxed) == 0) return nullptr;
    os::spin_guard guard(lock);
    pool_node* node = recent.pop();
    if (node == nullptr) node = unused.pop();
    if (node == nullptr) return nullptr;
    free_nodes.push(*node);
    held.store(held.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
    return node->object;
  }
  bool put(void* object, std::unique_ptr<pool_node> fresh) noexcept {
    os::spin_guard guard(lock);
    pool_node* node = fresh != nullptr ? fresh.release() : free_nodes.pop();
    if (node == nullptr) return false;
    node->object = object;
    recent.push(*node);
    held.store(held.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    return true;
  }
};

// How long the end of a pool waits for a collection between two looks, in nanoseconds: destructors run meanwhile.
constexpr std::int64_t end_pause = 50'000;

}  // namespace

class pool_core {
 public:
  explicit pool_core(void (*destroy)(void*) noexcept)
      : destroy_(destroy), mask_(shard_count() - 1), shards_(new pool_shard[mask_ + 1]) {}
  pool_core(const pool_core&) = delete;
  pool_core& operator=(const pool_core&) = delete;
  ~pool_core() {
    age();
    age();
  }

  void* take() noexcept {
    std::size_t mine = shard_of_caller(mask_);
    for (std::size_t i = 0; i <= mask_; ++i) {
      if (void* object = shards_[(mine + i) & mask_].take(); object != nullptr) return object;
    }
    return nullptr;
  }

  void put(void* object) {
    pool_shard& mine = shards_[shard_of_caller(mask_)];
    if (mine.put(object, nullptr)) return;
    std::unique_ptr<pool_node> fresh(new (std::nothrow) pool_node);
    if (fresh == nullptr || !mine.put(object, std::move(fresh))) destroy_(object);
  }

  void age() noexcept {
    for (std::size_t i = 0; i <= mask_; ++i) {
      pool_shard& one = shards_[i];
      node_stack dropped;
      node_stack nodes;
      {
        os::spin_guard guard(one.lock);
        dropped = std::exchange(one.unused, std::exchange(one.recent, node_stack()));
        nodes = std::exchange(one.free_nodes, node_stack());
      }
      std::uint32_t count = 0;
      while (pool_node* node = dropped.pop()) {
        destroy_(node->object);
        delete node;
        ++count;
      }
      while (pool_node* node = nodes.pop()) delete node;
      os::spin_guard guard(one.lock);
      one.held.store(one.held.load(std::memory_order_relaxed) - count, std::memory_order_relaxed);
    }
  }

  // Guarded by the lock of the list.
  pool_core* next = nullptr;
  pool_core* previous = nullptr;
  int pins = 0;

 private:
  void (*const destroy_)(void*) noexcept;
  const std::size_t mask_;
  const std::unique_ptr<pool_shard[]> shards_;
};

namespace {

class pool_list {
 public:
  void add(pool_core& one) noexcept {
    os::spin_guard guard(lock_);
    one.next = first_;
    if (first_ != nullptr) first_->previous = &one;
    first_ = &one;
  }
  /// False while a collection works on it.
  bool remove(pool_core& one) noexcept {
    os::spin_guard guard(lock_);
    if (one.pins != 0) return false;
    (one.previous == nullptr ? first_ : one.previous->next) = one.next;
    if (one.next != nullptr) one.next->previous = one.previous;
    return true;
  }
  /// The first pool, or the one after `before`, pinned; unpins `before`.
  pool_core* pin_next(pool_core* before) noexcept {
    os::spin_guard guard(lock_);
    pool_core* one = before == nullptr ? first_ : before->next;
    if (before != nullptr) --before->pins;
    if (one != nullptr) ++one->pins;
    return one;
  }

 private:
  os::spin_lock lock_{os::lock_rank::pools};
  pool_core* first_ RT_GUARDED_BY(lock_) = nullptr;
};

pool_list& all_pools() noexcept {
  static pool_list& list = *new pool_list;  // pools with static storage end after any other static object
  return list;
}

void age_all_pools() noexcept {
  for (pool_core* one = all_pools().pin_next(nullptr); one != nullptr; one = all_pools().pin_next(one)) one->age();
}

void pause_for_collection() noexcept {
  std::int64_t until = runtime_now() + end_pause;
  if (worker* self = current_worker(); self != nullptr && self->current != nullptr && self->p != nullptr) {
    while (runtime_now() < until) park_until(wait_reason::other, until);
  } else {
    timespec length{0, end_pause};
    nanosleep(&length, nullptr);
  }
}

}  // namespace

pool_core* pool_make(void (*destroy)(void*) noexcept) {
  static collection_hook hook{&age_all_pools};
  static const bool is_registered = (add_collection_hook(hook), true);
  static_cast<void>(is_registered);
  auto* core = new pool_core(destroy);
  all_pools().add(*core);
  return core;
}

void pool_end(pool_core* core) noexcept {
  while (!all_pools().remove(*core)) pause_for_collection();
  delete core;
}

void pool_put(pool_core& core, void* object) { core.put(object); }
void* pool_take(pool_core& core) noexcept { return core.take(); }

}  // namespace rt::detail
