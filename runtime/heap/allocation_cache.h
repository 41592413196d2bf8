// The cache of one P for one task: of each class and kind a span to take slots from, and in it a run of free slots.
//
// The fast path (rt/make.h) moves a run's cursor until it meets the end. Then take() finds the next run in the span, or
// another span: one with free slots from the owner's lists, which it sweeps if need be, or a new one. A run is at most
// 8 KiB, so that it is zeroed shortly before it is used, while it fits into the first-level cache.
//
// Everything here is done in a critical section by the owner of the P; in the cache that threads without a P share,
// under heap_state::outside_lock; or with the world stopped.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "runtime/heap/heap_owner.h"
#include "runtime/heap/sampling.h"

namespace rt::detail {

/// Why there is no slot.
enum class shortage : std::uint8_t { none, limit, memory };

struct slot_range;

class allocation_cache : public allocation_runs {
 public:
  /// A slot of the run, filled up if it is empty. Null, and why, when there is none.
  char* take(std::size_t index, shortage& why) noexcept;
  /// The same for `size` bytes that share a slot with others.
  char* share(std::size_t size, std::size_t alignment, shortage& why) noexcept;
  /// Gives all spans back to the owner's lists.
  void empty() noexcept;
  /// Objects so far: slots of runs, without those that nobody has yet. Any thread.
  std::uint64_t allocated(std::size_t index) const noexcept;
  /// Bytes that were handed to runs since the last call.
  std::size_t take_unreported() noexcept {
    std::size_t bytes = unreported_;
    unreported_ = 0;
    return bytes;
  }
  /// Of the slot that was taken last: the weight of the sample that it is; 0: it is none.
  double take_sample() noexcept {
    double weight = sample_;
    sample_ = 0;
    return weight;
  }
  /// The same for a large object, which is about to be made.
  double sample_large(std::size_t bytes) noexcept;
  /// The rate has changed, or the cache is another one's.
  void forget_points() noexcept {
    points_ = {};
    for (std::uint64_t& one : point_next_) one = 0;
  }
  void attach(heap_owner& owner, std::size_t place) noexcept {
    owner_ = &owner;
    place_ = place;
  }
  void reset() noexcept;

  allocation_cache* pool_link = nullptr;
  allocation_cache* next_of_owner = nullptr;

 private:
  bool refill(std::size_t index, shortage& why) noexcept;
  bool carve(std::size_t index, span& from) noexcept;
  void end_before_sample(std::size_t index, slot_range& range) noexcept;
  span* find_span(std::size_t index) noexcept;
  span* make_span(std::size_t index, shortage& why) noexcept;
  void let_go(std::size_t index, span& one) noexcept;
  std::size_t left(std::size_t index) const noexcept;
  void change_run(std::size_t index, char* begin, char* end, std::int64_t more) noexcept;

  heap_owner* owner_ = nullptr;
  std::size_t place_ = 0;
  std::size_t unreported_ = 0;
  std::uint64_t cached_[(run_index_count + 63) / 64] = {};  // which of spans_ are there
  span* spans_[run_index_count] = {};
  // The points of the heap profile, and of which classes and kinds the slot behind the last run is to be sampled.
  sample_points points_;
  std::uint64_t point_next_[(run_index_count + 63) / 64] = {};
  double sample_ = 0;
  // Slots of runs so far, and a sequence counter under which it changes together with the run, so that a reader never
  // counts the slots of a run twice or not at all.
  std::atomic<std::uint32_t> changes_{0};
  std::atomic<std::uint64_t> carved_[run_index_count] = {};
};

}  // namespace rt::detail
