// The inside of a channel; what it does is told in chan.cpp.
#pragma once

#include <cstring>
#include <string>

#include "rt/chan.h"
#include "rt/go.h"
#include "runtime/os/spin_lock.h"
#include "runtime/sync/waiter.h"

namespace rt::detail {

class alignas(64) chan_core {
 public:
  chan_core(const element_type& type, std::size_t capacity, char* buffer, std::size_t line) noexcept
      : type_(type), capacity_(capacity), buffer_(buffer), line_(line) {}
  chan_core(const chan_core&) = delete;
  chan_core& operator=(const chan_core&) = delete;

  void retain() noexcept { references_.fetch_add(1, std::memory_order_relaxed); }
  void release() noexcept;

  /// `served` is a waiter whose operation this one completed: to be told `done` when the lock is given up.
  chan_status send_now(void* element, waiter*& served) noexcept RT_REQUIRES(lock);
  chan_status receive_now(void* storage, waiter*& served) noexcept RT_REQUIRES(lock);
  chan_status wait_in(waiter_queue& queue, waiter& mine, wait_reason reason, std::int64_t deadline) RT_RELEASE(lock);
  void close();

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

  bool closed_ RT_GUARDED_BY(lock) = false;
  std::size_t head_ RT_GUARDED_BY(lock) = 0;   // the oldest value
  std::size_t count_ RT_GUARDED_BY(lock) = 0;  // values in the buffer
  const element_type type_;
  const std::size_t capacity_;
  char* const buffer_;
  const std::size_t line_;
  std::atomic<std::uint32_t> references_{1};
  waiter_queue receivers_ RT_GUARDED_BY(lock);
  waiter_queue senders_ RT_GUARDED_BY(lock);
};

/// The beginning of every operation that might be repeated without ever waiting: makes way when asked to, and notices
/// cancellation then.
inline void enter_operation() {
  worker* self = current_worker();
  if (self == nullptr || self->p == nullptr) return;
  if (self->p->attention.load(std::memory_order_relaxed) != 0) [[unlikely]]
    rt::checkpoint();
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
