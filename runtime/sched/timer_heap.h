// The timers of one P: a heap with four children a node, ordered by time.
//
// Four children instead of two halve the depth, and the children of a node lie on one cache line. A node knows its
// place, so taking a timer out costs O(log n) and leaves nothing behind: a storm of armed and stopped timers does not
// grow the heap. Any thread may add to or remove from any heap under its lock; firing is done by the owner of the P, or
// by an idle M that finds the timer due while the P is busy.
//
// The slots lie in pieces of 16 KiB. Growing never copies what is there: with a plain vector the millionth timer waited
// for 16 MB to be moved, and so did whoever wanted the lock meanwhile (4 ms, measured). Pieces are given back when the
// timers are gone.
//
// A node must stay in memory until remove() has returned or its callback has begun. The callback runs without the
// heap's lock, on a scheduler stack: it must not block, and only touch what it can prove to be alive (see time.cpp and
// park.cpp for the two uses).
//
// Rejected: leaving stopped timers in the heap until it is next touched (Go's way). It spares the heap's lock at a
// stop, but a million connections that each arm and stop a deadline leave a million corpses, and somebody pays for the
// sweep.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "runtime/os/page_allocator.h"
#include "runtime/os/spin_lock.h"

namespace rt::detail {

class timer_heap;
struct sharing_domain;

struct timer_node {
  /// What firing does. Called without locks; gets the two words below, copied while the node was certainly alive. At
  /// the end of the runtime it is called once more for each timer that is left, with `heap_ends` as the second word.
  using callback = void (*)(void* first, std::uint64_t second) noexcept;
  static constexpr std::uint64_t heap_ends = UINT64_MAX;

  std::int64_t when = 0;  // steady clock, ns
  callback fire = nullptr;
  void* first = nullptr;
  std::uint64_t second = 0;
  std::atomic<timer_heap*> heap{nullptr};  // where it is armed; null when it is not
  std::size_t index = 0;                   // in that heap, guarded by its lock
  // The one effect of firing is to end the wait of the green thread that armed it, whose wait reason says so already
  // (green_thread::timed_wait); such a node is not counted below.
  bool ends_own_wait = false;
  sharing_domain* domain = nullptr;  // of whoever armed it: who may be woken by it (sharing_domain.h)
};

class timer_heap {
 public:
  timer_heap() = default;
  ~timer_heap();
  /// The place in which domains count this heap's timers: the number of its P. Before the first timer.
  void set_place(int place) noexcept { place_ = static_cast<std::size_t>(place); }
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
  /// The latest time, 0 without timers. Takes as long as there are timers.
  std::int64_t latest() noexcept;
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
  struct alignas(64) piece {
    slot slots[1024];
  };
  static constexpr std::size_t slots_in_piece = sizeof(piece::slots) / sizeof(slot);
  // The root's place in the first piece. The children of slot i are slots 4i + 1 to 4i + 4: with these they begin at a
  // multiple of four, where a cache line begins.
  static constexpr std::size_t root_place = children - 1;

  slot& at(std::size_t index) noexcept RT_REQUIRES(lock_) {
    std::size_t place = index + root_place;
    return pieces_[place / slots_in_piece]->slots[place % slots_in_piece];
  }
  void push(slot one) RT_REQUIRES(lock_);
  void shrink() noexcept RT_REQUIRES(lock_);
  void sift_up(std::size_t index, slot moving) noexcept RT_REQUIRES(lock_);
  void sift_down(std::size_t index, slot moving) noexcept RT_REQUIRES(lock_);
  void take_out(std::size_t index) noexcept RT_REQUIRES(lock_);
  void count_armed(const timer_node& node) noexcept RT_REQUIRES(lock_);
  void count_over(const timer_node& node) noexcept RT_REQUIRES(lock_);
  void publish() noexcept RT_REQUIRES(lock_) {
    next_.store(count_ == 0 ? INT64_MAX : at(0).when, std::memory_order_release);  // pairs with next
    size_.store(count_, std::memory_order_relaxed);
  }

  std::size_t place_ = 0;
  os::spin_lock lock_{os::lock_rank::timers};
  struct piece_deleter {
    void operator()(piece* one) const noexcept { os::page_allocator<piece>::deallocate(one, 1); }
  };
  using owned_piece = std::unique_ptr<piece, piece_deleter>;
  // Whole pages: this grows and shrinks under the lock, and while the world is stopped (page_allocator.h).
  std::vector<owned_piece, os::page_allocator<owned_piece>> pieces_ RT_GUARDED_BY(lock_);
  std::size_t count_ RT_GUARDED_BY(lock_) = 0;
  std::atomic<std::int64_t> next_{INT64_MAX};
  std::atomic<std::size_t> size_{0};
  std::atomic<std::uint64_t> fired_{0};
};

}  // namespace rt::detail
