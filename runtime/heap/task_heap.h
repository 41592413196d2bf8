// What a group of green threads holds of the heap.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace rt::detail {

class heap_owner;

/// Most Ps that the heap can tell apart.
inline constexpr std::size_t heap_places = 256;

/// Each figure is of about the same moment.
struct owner_figures {
  std::uint64_t allocated_bytes = 0;  // so far, of slots and large objects
  std::uint64_t allocated_objects = 0;
  std::uint64_t freed_bytes = 0;  // so far; sweeping finds it out
  std::uint64_t freed_objects = 0;
  std::uint64_t span_bytes = 0;   // pages that belong to it now
  std::uint64_t table_bytes = 0;  // of its tables and caches
  /// What the last collection found reachable; what was allocated while it marked is part of it. Until the sweep of
  /// that collection is complete, as the one before has found it; 0 before the first.
  std::uint64_t marked_bytes = 0;
  std::uint64_t limit_waits = 0;     // so far: times that it was slowed down, above its soft limit
  std::uint64_t limit_failures = 0;  // so far: allocations that its hard limit has refused
  std::uint64_t live_bytes() const noexcept { return allocated_bytes - freed_bytes; }
  std::uint64_t live_objects() const noexcept { return allocated_objects - freed_objects; }
};

/// What a group holds: its heap_owner, once there is one.
class task_heap {
 public:
  /// `holder` is whatever has it, for dead_objects.h (which gives it back); null: nobody.
  explicit constexpr task_heap(void* holder = nullptr) noexcept : holder_(holder) {}
  /// What is left goes to the orphans. Nobody allocates for it any more.
  ~task_heap();
  task_heap(const task_heap&) = delete;
  task_heap& operator=(const task_heap&) = delete;

  heap_owner* get() const noexcept { return owner_.load(std::memory_order_acquire); }
  /// Makes it if it is not there. @throws std::bad_alloc
  heap_owner& need();
  /// In bytes of pages; SIZE_MAX: none. At the hard one an allocation asks collector_hooks::at_limit and then throws
  /// rt::out_of_task_memory. The soft one is for the collector to look at (gc/task_limits.cpp). Any thread, at any
  /// time.
  /// @throws std::bad_alloc
  void set_limits(std::size_t soft, std::size_t hard);
  /// Any thread; stops nothing.
  owner_figures figures() const noexcept;

 private:
  std::atomic<heap_owner*> owner_{nullptr};
  void* const holder_;
};

}  // namespace rt::detail
