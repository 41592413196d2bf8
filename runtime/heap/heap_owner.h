// The heap of one task: its caches, its spans, its limits, its figures.
//
// A group of the scheduler holds a task_heap (task_heap.h), which makes a heap_owner at its first allocation: a cache
// for each P that its green threads allocate on, and for each class and kind the lists of its spans that no cache has.
// The spans of one owner are never mixed with another's, so what a task uses is known from its pages, and what it
// leaves behind can be freed whole. When the group ends, the spans go to the orphans, which is the owner of what
// belongs to no task.
//
// The memory of a heap_owner is used again, for owners only: who has read a span's owner may lock its lists, and then
// looks whether the span is still there.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "rt/make.h"
#include "runtime/heap/dead_objects.h"
#include "runtime/heap/span.h"
#include "runtime/heap/task_heap.h"
#include "runtime/os/spin_lock.h"

namespace rt::detail {

class allocation_cache;

/// The place of the cache that threads without a P share.
inline constexpr std::size_t shared_place = heap_places;
/// Behind the lists of each class and kind: those of large objects of any kind.
inline constexpr std::size_t large_lists = run_index_count;

/// The index of the lists that the span belongs to.
inline std::size_t lists_of(const span& one) noexcept {
  std::size_t size_class = one.size_class.load(std::memory_order_relaxed);
  return size_class == size_class_count ? large_lists : run_index(size_class, one.kind.load(std::memory_order_relaxed));
}

/// Spans of one owner, class and kind. Swept and unswept ones lie in different lists, by the parity of the generation
/// of the last sweep: when the generation goes on, all that were swept have become unswept.
struct span_lists {
  os::spin_lock lock{os::lock_rank::heap_lists};
  std::uint32_t partial[2] RT_GUARDED_BY(lock) = {};  // with free slots; first page plus one
  std::uint32_t full[2] RT_GUARDED_BY(lock) = {};
  std::uint32_t swept_now RT_GUARDED_BY(lock) = 0;  // taken out to be swept by a thread that will put them back
  // Figures, in objects so far.
  std::atomic<std::uint64_t> allocated{0};  // large ones, and those of owners that are no more; caches count the others
  std::atomic<std::uint64_t> freed{0};

  void push(std::uint32_t& list, span& one) noexcept RT_REQUIRES(lock);
  void remove(std::uint32_t& list, span& one) noexcept RT_REQUIRES(lock);
  /// No span is in a list or will be put back into one.
  bool is_empty() const noexcept RT_REQUIRES(lock) {
    return partial[0] == 0 && partial[1] == 0 && full[0] == 0 && full[1] == 0 && swept_now == 0;
  }
};

class heap_owner {
 public:
  heap_owner() noexcept = default;
  heap_owner(const heap_owner&) = delete;
  heap_owner& operator=(const heap_owner&) = delete;

  std::size_t soft_limit() const noexcept { return soft_limit_.load(std::memory_order_relaxed); }
  std::size_t hard_limit() const noexcept { return hard_limit_.load(std::memory_order_relaxed); }
  void set_limits(std::size_t soft, std::size_t hard) noexcept {
    soft_limit_.store(soft, std::memory_order_relaxed);
    hard_limit_.store(hard, std::memory_order_relaxed);
  }
  /// Bytes of the pages that belong to it.
  std::size_t span_bytes() const noexcept { return span_bytes_.load(std::memory_order_relaxed); }
  /// Any thread; stops nothing.
  owner_figures figures() const noexcept;

  /// Of the collector alone; zero at first: what it has handed out above the soft limit, in bytes, since which cycle.
  std::atomic<std::uint64_t> bytes_above_limit{0};
  std::atomic<std::uint64_t> above_limit_since{0};
  void count_limit_wait() noexcept { limit_waits_.fetch_add(1, std::memory_order_relaxed); }

  // --- of the heap
  /// The cache of a place, made when there is none; null when the system has no memory. In a critical section with that
  /// P, or for shared_place anywhere.
  allocation_cache* need_cache(std::size_t place) noexcept;
  /// Null when there is none.
  allocation_cache* cache(std::size_t place) const noexcept { return caches_[place].load(std::memory_order_acquire); }
  allocation_runs* runs_at(std::size_t place) const noexcept;
  allocation_cache* first_cache() const noexcept { return first_cache_.load(std::memory_order_acquire); }
  span_lists& lists(std::size_t index) noexcept { return lists_[index]; }
  const span_lists& lists(std::size_t index) const noexcept { return lists_[index]; }
  /// Of one class and kind (or large ones), so far.
  std::uint64_t allocated_objects(std::size_t index) const noexcept;
  /// Adds `bytes` of pages unless that passes the hard limit.
  bool charge(std::size_t bytes) noexcept;
  void discharge(std::size_t bytes) noexcept { span_bytes_.fetch_sub(bytes, std::memory_order_relaxed); }
  void count_limit_failure() noexcept { limit_failures_.fetch_add(1, std::memory_order_relaxed); }
  /// While marking goes on, so that nothing is swept: what the marking before it has found, `now` being the figures.
  void note_before_end_of_mark(const owner_figures& now) noexcept;
  /// After the stop that ended marking, before sweeping is complete.
  void note_end_of_mark() noexcept;
  void count_large(std::size_t bytes) noexcept { large_allocated_.fetch_add(bytes, std::memory_order_relaxed); }
  void count_large_freed(std::size_t bytes) noexcept { large_freed_.fetch_add(bytes, std::memory_order_relaxed); }
  /// The end of the owner, for which nobody allocates any more: figures, spans, and what was counted meanwhile go to
  /// `heir`. Each under the lock of the owners.
  void hand_down_figures(heap_owner& heir) noexcept;
  /// At most so many; whether none is left.
  bool move_spans(heap_owner& heir, std::size_t most) noexcept;
  void hand_down_rest(heap_owner& heir) noexcept;
  void reset() noexcept;
  heap_owner* pool_link = nullptr;
  heap_owner* next = nullptr;  // in the list of all owners, under its lock
  heap_owner* previous = nullptr;
  bool has_ended = false;  // under that lock: its figures are counted with its heir's
  void* holder = nullptr;  // of its task_heap; written before it has objects
  dead_queue dead;

 private:
  void empty_caches() noexcept;
  /// At most so many of one list; how many.
  std::size_t move_list(span_lists& from, std::uint32_t& list, heap_owner& heir, span_lists& to, std::uint32_t& heirs,
                        std::size_t most) noexcept RT_REQUIRES(from.lock, to.lock);

  std::atomic<std::size_t> span_bytes_{0};
  std::atomic<std::size_t> soft_limit_{SIZE_MAX};
  std::atomic<std::size_t> hard_limit_{SIZE_MAX};
  std::atomic<std::uint64_t> large_allocated_{0};  // bytes so far
  std::atomic<std::uint64_t> large_freed_{0};
  // What was allocated when the last marking ended: less what has been freed since, it is what that found. And what
  // the one before had found.
  std::atomic<std::uint64_t> allocated_at_marking_{0};
  std::atomic<std::uint64_t> marked_before_{0};
  std::atomic<std::uint64_t> limit_waits_{0};
  std::atomic<std::uint64_t> limit_failures_{0};
  std::atomic<allocation_cache*> first_cache_{nullptr};  // of a list; caches are only added
  std::atomic<allocation_cache*> caches_[heap_places + 1] = {};
  span_lists lists_[run_index_count + 1];
};

}  // namespace rt::detail
