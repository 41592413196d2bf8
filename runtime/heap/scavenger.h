// Gives free pages back to the system.
//
// Most programs need tomorrow what they needed today, so not all is given back: 10 % more than the goal stays. The goal
// is the collector's (what the heap may grow to until the next cycle) or, while it has set none, the highest use of
// late: a peak is forgotten within some seconds. What is above goes from the highest addresses down, since the lowest
// ones are used first.
//
// Giving back costs some 10 us a call, and the page fault later as much again. So pieces are at most 64 pages, and
// after each piece the scavenger rests for 99 times as long as it worked: 1 % of one CPU. It has no thread; the system
// monitor calls step().
//
// Huge pages. The heap asks for none and refuses none: where the system makes them by itself, the lowest 2 MiB blocks
// are dense and keep theirs. A chunk of which more than 15/16 is in use is left alone, because the huge page that would
// be broken is worth more than the few pages. The tables, of which single pages are touched, refuse them.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "runtime/heap/page_heap.h"
#include "runtime/os/spin_lock.h"

namespace rt::detail {

class scavenger {
 public:
  /// Gives one piece back if that is due; when to call again, in nanoseconds of the steady clock, INT64_MAX when there
  /// is nothing to do until more is freed. Any thread; one at a time works, others return at once.
  std::int64_t step(std::int64_t now) noexcept;
  /// Gives all free pages back, at once. How many bytes.
  std::size_t release_all() noexcept;
  /// Gives what is not to be kept back, at once. How many bytes; 0 also when another thread is giving back.
  std::size_t release_surplus(std::int64_t now) noexcept;
  /// What the heap is expected to need, in bytes; 0: nobody knows.
  void set_goal(std::size_t bytes) noexcept { goal_.store(bytes, std::memory_order_relaxed); }

  std::uint64_t released_so_far() const noexcept { return released_bytes_.load(std::memory_order_relaxed); }
  /// Nanoseconds that it has worked so far, forced releases not counted.
  std::uint64_t worked_so_far() const noexcept { return worked_.load(std::memory_order_relaxed); }

 private:
  std::size_t release_piece(std::uint32_t densest) noexcept;
  std::size_t to_keep(std::int64_t now) noexcept;

  std::atomic<bool> busy_{false};
  std::atomic<std::size_t> goal_{0};
  std::atomic<std::uint64_t> released_bytes_{0};
  std::atomic<std::uint64_t> worked_{0};
  // Of the thread that has set busy_.
  std::int64_t not_before_ = 0;
  std::int64_t peak_at_ = 0;
  std::size_t peak_ = 0;
};

}  // namespace rt::detail
