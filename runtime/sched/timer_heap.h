// The timers of one P: a heap with four children a node, ordered by time.
//
// Four children instead of two halve the depth, and the children of a node share cache lines. A node knows its place,
// so taking a timer out costs O(log n) and leaves nothing behind: a storm of armed and stopped timers does not grow the
// heap. Any thread may add to or remove from any heap under its lock; firing is done by the owner of the P, or by an
// idle M that finds the timer due while the P is busy.
//
// A node must stay in memory until remove() has returned or its callback has begun. The callback runs without the
// heap's lock, on a scheduler stack: it must not block, and only touch what it can prove to be alive (see time.cpp and
// park.cpp for the two uses).
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "runtime/os/spin_lock.h"

namespace rt::detail {

class timer_heap;

struct timer_node {
  /// What firing does. Called without locks; gets the two words below, copied while the node was certainly alive.
  using callback = void (*)(void* first, std::uint64_t second) noexcept;

  std::int64_t when = 0;  // steady clock, ns
  callback fire = nullptr;
  void* first = nullptr;
  std::uint64_t second = 0;
  std::atomic<timer_heap*> heap{nullptr};  // where it is armed; null when it is not
  std::size_t index = 0;                   // in that heap, guarded by its lock
};

class timer_heap {
 public:
  timer_heap() = default;
  timer_heap(const timer_heap&) = delete;
  timer_heap& operator=(const timer_heap&) = delete;

  /// Arms a node that is not armed. Throws std::bad_alloc.
  void add(timer_node& node);
  /// Disarms it, wherever it is armed: true if it was. When it returns false the node has fired or is firing.
  static bool remove(timer_node& node) noexcept;

  /// Fires what is due at `now`. Returns how many fired.
  std::size_t run(std::int64_t now) noexcept;
  /// The earliest time, INT64_MAX without timers. Right at some moment; no lock.
  std::int64_t next() const noexcept { return next_.load(std::memory_order_acquire); }  // pairs with publish
  std::size_t size() const noexcept { return size_.load(std::memory_order_relaxed); }
  std::uint64_t fired() const noexcept { return fired_.load(std::memory_order_relaxed); }
  /// Moves all timers to `other`; only while the world is stopped.
  void move_to(timer_heap& other);

 private:
  struct slot {
    std::int64_t when;
    timer_node* node;
  };
  static constexpr std::size_t children = 4;

  void sift_up(std::size_t index, slot moving) noexcept RT_REQUIRES(lock_);
  void sift_down(std::size_t index, slot moving) noexcept RT_REQUIRES(lock_);
  void take_out(std::size_t index) noexcept RT_REQUIRES(lock_);
  void publish() noexcept RT_REQUIRES(lock_) {
    next_.store(slots_.empty() ? INT64_MAX : slots_[0].when, std::memory_order_release);  // pairs with next
    size_.store(slots_.size(), std::memory_order_relaxed);
  }

  os::spin_lock lock_{os::lock_rank::timers};
  std::vector<slot> slots_ RT_GUARDED_BY(lock_);
  std::atomic<std::int64_t> next_{INT64_MAX};
  std::atomic<std::size_t> size_{0};
  std::atomic<std::uint64_t> fired_{0};
};

}  // namespace rt::detail
