// Objects that are marked and not yet looked into.
//
// They wait in buffers of one page. Each marker fills and empties buffers of its own, last in first out, and holds two,
// so that it does not go back and forth at the end of one. Full ones go to the process's pool, where markers that have
// nothing take them. Memory comes from the system in pieces of 64 KiB and is kept: the collector must not call malloc,
// whose lock a frozen green thread may hold.
//
// An entry is the slots of one row (mark_window.h), or a piece of a large object (marker.cpp). A buffer's page serves
// as a marker's window as well.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "runtime/os/spin_lock.h"

namespace rt::detail {

struct mark_entry {
  std::uint64_t where;  // the row's number
  std::uint64_t slots;
};

struct mark_buffer {
  mark_buffer* next = nullptr;
  std::size_t count = 0;
  std::array<mark_entry, 255> entries;
};
static_assert(sizeof(mark_buffer) == 4096);

/// The buffers that no marker has. Any thread.
class mark_pool {
 public:
  /// An empty buffer. Ends the process when the system has no memory left for it.
  mark_buffer& take_empty() noexcept;
  void give_empty(mark_buffer& one) noexcept;
  /// A buffer with entries; null when there is none.
  mark_buffer* take_full() noexcept;
  void give_full(mark_buffer& one) noexcept;
  bool has_work() const noexcept { return full_count_.load(std::memory_order_acquire) != 0; }  // pairs with give_full
  /// Bytes obtained from the system.
  std::uint64_t bytes() const noexcept { return bytes_.load(std::memory_order_relaxed); }

 private:
  os::spin_lock lock_{os::lock_rank::none};
  mark_buffer* empty_ RT_GUARDED_BY(lock_) = nullptr;
  mark_buffer* full_ RT_GUARDED_BY(lock_) = nullptr;
  std::atomic<std::size_t> full_count_{0};
  std::atomic<std::uint64_t> bytes_{0};
};

/// One marker's own. Not for several threads at once.
class mark_queue {
 public:
  explicit mark_queue(mark_pool& pool) noexcept : pool_(pool) {}
  mark_queue(const mark_queue&) = delete;
  mark_queue& operator=(const mark_queue&) = delete;

  void push(const mark_entry& entry) noexcept {
    if (top_ == nullptr || top_->count == top_->entries.size()) make_room();
    top_->entries[top_->count++] = entry;
  }
  /// From the own buffers alone; false when they are empty.
  bool pop_own(mark_entry& entry) noexcept {
    if (top_ == nullptr) return false;
    if (top_->count == 0 && !use_other()) return false;
    entry = top_->entries[--top_->count];
    return true;
  }
  /// Also from the pool.
  bool pop(mark_entry& entry) noexcept { return pop_own(entry) || (refill() && pop_own(entry)); }
  /// Gives away what another marker could do: one of two buffers, or half of what is there. False: there is too little.
  bool share() noexcept;
  /// Gives everything to the pool.
  void flush() noexcept;
  bool empty() const noexcept {
    return (top_ == nullptr || top_->count == 0) && (other_ == nullptr || other_->count == 0);
  }

 private:
  void make_room() noexcept;
  bool use_other() noexcept;
  bool refill() noexcept;

  mark_pool& pool_;
  mark_buffer* top_ = nullptr;
  mark_buffer* other_ = nullptr;
};

}  // namespace rt::detail
