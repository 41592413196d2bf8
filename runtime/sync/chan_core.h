// The inside of a channel; what it does is told in chan.cpp.
#pragma once

#include <cstring>
#include <string>

#include "rt/chan.h"
#include "rt/gc.h"
#include "rt/go.h"
#include "runtime/os/spin_lock.h"
#include "runtime/sync/waiter.h"

namespace rt::detail {

class alignas(64) chan_core {
 public:
  /// `root` keeps the buffer, when that is an object of the collected heap.
  chan_core(const element_type& type, std::size_t capacity, char* buffer, std::size_t line, root_slot* root) noexcept
      : type_(type), capacity_(capacity), buffer_(buffer), line_(line), root_(root) {}
  chan_core(const chan_core&) = delete;
  chan_core& operator=(const chan_core&) = delete;

  void retain() noexcept { references_.fetch_add(1, std::memory_order_relaxed); }
  void release() noexcept;

  /// `served` is a waiter whose operation this one completed: to be told `done` when the lock is given up.
  chan_status send_now(void* element, waiter*& served) noexcept RT_REQUIRES(lock);
  chan_status receive_now(void* storage, waiter*& served) noexcept RT_REQUIRES(lock);
  /// Within a critical section of `self`, which it ends.
  chan_status wait(worker* self, bool sending, void* element, std::int64_t deadline) RT_RELEASE(lock);
  /// False when it was closed before.
  bool close() noexcept;

  waiter_queue& senders() noexcept RT_REQUIRES(lock) { return senders_; }
  waiter_queue& receivers() noexcept RT_REQUIRES(lock) { return receivers_; }
  waiter_queue& queue_of(bool sending) noexcept RT_REQUIRES(lock) { return sending ? senders_ : receivers_; }

  bool is_closed() const noexcept {
    os::spin_guard guard(lock);
    return closed_;
  }
  std::size_t size() const noexcept {
    os::spin_guard guard(lock);
    return count_;
  }
  std::size_t capacity() const noexcept { return capacity_; }
  /// Whether the caller's handle is the only one, so that nobody can ever wait here.
  bool has_one_handle() const noexcept { return references_.load(std::memory_order_acquire) == 1; }  // with release

  mutable os::spin_lock lock{os::lock_rank::channel};

 private:
  char* slot(std::size_t index) noexcept { return buffer_ + index * type_.size; }
  std::size_t next_index(std::size_t index) const noexcept { return index + 1 == capacity_ ? 0 : index + 1; }
  void move_element(void* to, void* from) noexcept {
    if (!type_.trivial) {
      type_.relocate(to, from);
    } else if (type_.size == 8) {
      std::memcpy(to, from, 8);
    } else {
      std::memcpy(to, from, type_.size);
    }
  }

  // Into the buffer, or into the frame of a receiver: places that the collector may have looked into already. A plain
  // pointer that comes there passes no barrier of its own.
  void hand_over_element(void* to, void* from) noexcept {
    move_element(to, from);
    if (type_.traced && gc_marking.load(std::memory_order_relaxed)) [[unlikely]]
      shade_words(to, type_.size);
  }
  // The place of a value that was taken out: what stays there would keep alive what nobody can reach.
  void clear_slot(void* slot) noexcept {
    if (!type_.trivial) type_.destroy(slot);
    if (type_.traced) [[unlikely]]
      std::memset(slot, 0, type_.size);
  }

  bool closed_ RT_GUARDED_BY(lock) = false;
  std::size_t head_ RT_GUARDED_BY(lock) = 0;   // the oldest value
  std::size_t count_ RT_GUARDED_BY(lock) = 0;  // values in the buffer
  const element_type type_;
  const std::size_t capacity_;
  char* const buffer_;
  const std::size_t line_;
  root_slot* const root_;
  std::atomic<std::uint32_t> references_{1};
  waiter_queue receivers_ RT_GUARDED_BY(lock);
  waiter_queue senders_ RT_GUARDED_BY(lock);
};

// send_now and receive_now are inlined wherever they are used: called, they would take a third of the time of a send or
// a receive that does not wait.

// Under the lock: sends without waiting if that is possible.
inline __attribute__((always_inline)) chan_status chan_core::send_now(void* element, waiter*& served) noexcept {
  if (closed_) return chan_status::closed;
  if (waiter* receiver = receivers_.claim(); receiver != nullptr) {
    hand_over_element(receiver->element, element);
    served = receiver;
    return chan_status::ok;
  }
  if (count_ < capacity_) {
    std::size_t place = head_ + count_;
    if (place >= capacity_) place -= capacity_;
    hand_over_element(slot(place), element);
    ++count_;
    return chan_status::ok;
  }
  return chan_status::would_block;
}

// Under the lock: receives without waiting if that is possible.
inline __attribute__((always_inline)) chan_status chan_core::receive_now(void* storage, waiter*& served) noexcept {
  if (count_ > 0) {
    void* oldest = slot(head_);
    move_element(storage, oldest);
    clear_slot(oldest);
    std::size_t freed = head_;
    head_ = next_index(head_);
    if (waiter* sender = senders_.claim(); sender != nullptr) {
      hand_over_element(slot(freed), sender->element);  // the freed slot is the end of the full ring
      served = sender;
    } else {
      --count_;
    }
    return chan_status::ok;
  }
  if (waiter* sender = senders_.claim(); sender != nullptr) {
    move_element(storage, sender->element);
    served = sender;
    return chan_status::ok;
  }
  return closed_ ? chan_status::closed : chan_status::would_block;
}

/// The beginning of every operation that might be repeated without ever waiting: makes way when asked to, and notices
/// cancellation then. Returns the M that the caller is on; null on a thread that is none.
inline worker* enter_operation() {
  worker* self = current_worker();
  if (self != nullptr && attention_wanted(*self)) [[unlikely]] {
    rt::checkpoint();
    self = current_worker();
  }
  return self;
}

/// One critical section for all that an operation does, its locks and the wake-up included (spin_lock::lock_inside).
inline worker* begin_operation() {
  worker* self = enter_operation();
  if (self != nullptr) os::enter_first_critical(*self);
  return self;
}
inline void end_operation(worker* self) noexcept {
  if (self != nullptr) os::leave_first_critical(*self);
}

/// Sends or receives without waiting and without making way: for callers that hold a lock of their own.
inline chan_status offer(chan_core& core, void* element) noexcept {
  waiter* served = nullptr;
  chan_status status;
  {
    os::spin_guard guard(core.lock);
    status = core.send_now(element, served);
  }
  if (served != nullptr) tell(*served, wait_outcome::done);
  return status;
}
inline chan_status take(chan_core& core, void* storage) noexcept {
  waiter* served = nullptr;
  chan_status status;
  {
    os::spin_guard guard(core.lock);
    status = core.receive_now(storage, served);
  }
  if (served != nullptr) tell(*served, wait_outcome::done);
  return status;
}

}  // namespace rt::detail
