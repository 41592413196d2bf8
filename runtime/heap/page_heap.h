// Pages: which are free, and which of the free ones are backed by memory.
//
// A bit for each page of the region says that it is free, another one that the system has nothing behind it: it has
// never been used, or was given back. The lowest run that is long enough is taken, so that what lives long gathers at
// low addresses and the top falls free for the scavenger. The region grows by chunks of 4 MiB.
//
// A P takes pages from a page_cache of its own, 64 neighbouring pages at most, without the lock.
//
// Whoever gives pages back to the system takes them out first, as if they were allocated, and puts them back when the
// system call is done: it lasts some 10 us, and the lock is not held for that long.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "runtime/heap/page_summary.h"
#include "runtime/heap/region.h"
#include "runtime/os/spin_lock.h"

namespace rt::detail {

/// Pages that follow each other. `count` 0: none.
struct page_run {
  std::uint32_t first = 0;
  std::uint32_t count = 0;
  bool zero = false;  // they read as zero: the system had nothing behind any of them
};

/// Free pages that belong to a P: some of 64 that begin at a multiple of 64.
struct page_cache {
  std::uint32_t first = 0;
  std::uint64_t free = 0;
  std::uint64_t released = 0;  // a part of `free`

  /// The lowest `count` neighbours; count 0 in the result when there are none.
  page_run take(std::uint32_t count) noexcept;
};

class page_heap {
 public:
  /// Requests of more pages pass the caches by.
  static constexpr std::uint32_t most_cached_pages = 16;

  /// For the whole of `layout`, which stays where it is. False when the system refuses the tables.
  bool create(const heap_layout& layout) noexcept;
  void destroy() noexcept;

  /// The lowest run. `count` 0 in the result: the region or the system has no more.
  page_run allocate(std::uint32_t count) noexcept;
  /// As allocate(), from `cache` first, which is filled when it is empty.
  page_run allocate(std::uint32_t count, page_cache& cache) noexcept;
  void free(std::uint32_t first, std::uint32_t count) noexcept;
  /// Gives back what a cache has.
  void empty(page_cache& cache) noexcept;

  /// Takes the highest run of free pages that have memory behind them, at most `most` of them, out of a chunk of which
  /// at most `densest` pages are in use. `count` 0: there are none.
  page_run take_backed(std::uint32_t most, std::uint32_t densest) noexcept;
  /// Chunks that take_backed passed by because they were too dense are looked at again.
  void look_at_all_again() noexcept;
  /// Puts pages that take_backed has returned back; the system has them now.
  void put_released(const page_run& run) noexcept;

  // Figures, in pages, of some moment.
  std::uint32_t grown() const noexcept { return grown_.load(std::memory_order_acquire); }
  std::uint64_t released() const noexcept { return released_.load(std::memory_order_relaxed); }
  std::size_t table_bytes() const noexcept;
  // For heap_check.h and tests.
  /// Whether the bits and summaries say the same.
  bool is_consistent() noexcept;
  /// Whether one of these pages is free, and in no cache.
  bool has_free(std::uint32_t first, std::uint32_t count) noexcept;

 private:
  bool grow(std::uint32_t pages) noexcept RT_REQUIRES(lock_);
  std::uint32_t take_bits(std::size_t first, std::size_t count) noexcept RT_REQUIRES(lock_);
  void put_bits(std::size_t first, std::size_t count, bool released) noexcept RT_REQUIRES(lock_);

  os::spin_lock lock_{os::lock_rank::heap_pages};
  const heap_layout* layout_ = nullptr;
  page_summary summary_ RT_GUARDED_BY(lock_);
  chunk_bits* free_ RT_GUARDED_BY(lock_) = nullptr;
  chunk_bits* released_bits_ RT_GUARDED_BY(lock_) = nullptr;
  std::uint32_t backed_end_ RT_GUARDED_BY(lock_) = 0;  // no chunk from here on has free pages with memory
  std::size_t bits_bytes_ = 0;
  std::atomic<std::uint32_t> grown_{0};
  std::atomic<std::uint64_t> released_{0};
};

}  // namespace rt::detail
