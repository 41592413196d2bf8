// Channels, after Go's (runtime/chan.go): one lock, a ring of values, two lists of waiters.
//
// Invariants, under the lock: a receiver waits only if the buffer is empty and no sender waits; a sender waits only if
// the buffer is full and no receiver waits; a closed channel has no waiting sender and, when it has a waiting receiver,
// close() is about to take it out. A sender that finds a receiver moves the value straight into its storage, on the
// other green thread's stack, and no value is ever copied twice.
//
// Rejected: lock-free rings. select, close, deadlines and cancellation all need to look at several words at once; with
// the lock an uncontended operation costs one atomic instruction.
#include "runtime/sync/chan_core.h"

#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>

#include "runtime/os/clock.h"

namespace rt::detail {

chan_core* chan_make(const element_type& type, std::size_t capacity) {
  std::size_t align = type.align < alignof(std::max_align_t) ? alignof(std::max_align_t) : type.align;
  std::size_t header = (sizeof(chan_core) + align - 1) / align * align;
  if (capacity > (std::numeric_limits<std::size_t>::max() / 2 - header) / type.size) {
    throw std::length_error("rt::chan: a capacity of " + std::to_string(capacity) +
                            " elements does not fit into memory");
  }
  std::size_t total = (header + capacity * type.size + align - 1) / align * align;
  std::size_t line = align < 64 ? 64 : align;  // the lock and its data on a cache line of their own
  void* memory = ::operator new (total, std::align_val_t{line});
  return ::new (memory) chan_core(type, capacity, static_cast<char*>(memory) + header, line);
}

void chan_retain(chan_core* core) noexcept { core->retain(); }

void chan_release(chan_core* core) noexcept { core->release(); }

void chan_core::release() noexcept RT_NO_THREAD_SAFETY_ANALYSIS {
  if (references_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  // Nobody waits: a waiter's frame holds a handle.
  for (; count_ > 0; --count_) {
    if (!type_.trivial) type_.destroy(slot(head_));
    head_ = next_index(head_);
  }
  std::align_val_t line{line_};
  this->~chan_core();
  ::operator delete(static_cast<void*>(this), line);
}

// Under the lock: sends without waiting if that is possible.
chan_status chan_core::send_now(void* element, waiter*& served) noexcept {
  if (closed_) return chan_status::closed;
  if (waiter* receiver = receivers_.claim(); receiver != nullptr) {
    move_element(receiver->element, element);
    served = receiver;
    return chan_status::ok;
  }
  if (count_ < capacity_) {
    std::size_t place = head_ + count_;
    if (place >= capacity_) place -= capacity_;
    move_element(slot(place), element);
    ++count_;
    return chan_status::ok;
  }
  return chan_status::would_block;
}

// Under the lock: receives without waiting if that is possible.
chan_status chan_core::receive_now(void* storage, waiter*& served) noexcept {
  if (count_ > 0) {
    void* oldest = slot(head_);
    move_element(storage, oldest);
    if (!type_.trivial) type_.destroy(oldest);
    std::size_t freed = head_;
    head_ = next_index(head_);
    if (waiter* sender = senders_.claim(); sender != nullptr) {
      move_element(slot(freed), sender->element);  // the freed slot is the end of the full ring
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

void chan_core::close() {
  claimed_waiters claimed;
  {
    os::spin_guard guard(lock);
    if (closed_) throw channel_closed("rt::chan::close: the channel is closed already");
    closed_ = true;
    for (waiter_queue* queue : {&receivers_, &senders_}) {
      while (waiter* one = queue->claim()) claimed.add(*one);
    }
  }
  claimed.tell_all(wait_outcome::closed);
}

// An operation on no channel: nothing but a deadline or cancellation ends it.
static chan_status wait_without_channel(wait_reason reason, std::int64_t deadline) {
  green_thread* self = require_green_thread("an operation on no channel");
  while (deadline == no_deadline || os::nanotime() < deadline) {
    throw_if_cancellation_pending(*self);
    park_until(reason, deadline);
  }
  return chan_status::timed_out;
}

// The slow half of send and receive. Called with the lock held, gives it up.
chan_status chan_core::wait_in(waiter_queue& queue, waiter& mine, wait_reason reason, std::int64_t deadline) {
  queue.push(mine);
  lock.unlock();
  if (!await_outcome(mine, reason, deadline)) {
    lock.lock();
    queue.remove(mine);
    lock.unlock();
    throw_if_cancellation_pending(*mine.owner);
    return chan_status::timed_out;
  }
  return mine.outcome.load(std::memory_order_relaxed) == wait_outcome::done ? chan_status::ok : chan_status::closed;
}

chan_status chan_send(chan_core* core, void* element, std::int64_t deadline) {
  if (core == nullptr) return wait_without_channel(wait_reason::chan_send_nil, deadline);
  enter_operation();
  core->lock.lock();
  waiter* served = nullptr;
  chan_status status = core->send_now(element, served);
  if (status != chan_status::would_block) {
    core->lock.unlock();
    if (served != nullptr) tell(*served, wait_outcome::done);
    return status;
  }
  waiter mine;
  mine.owner = require_green_thread("rt::chan::send");
  mine.element = element;
  return core->wait_in(core->senders(), mine, wait_reason::chan_send, deadline);
}

chan_status chan_recv(chan_core* core, void* storage, std::int64_t deadline) {
  if (core == nullptr) return wait_without_channel(wait_reason::chan_receive_nil, deadline);
  enter_operation();
  core->lock.lock();
  waiter* served = nullptr;
  chan_status status = core->receive_now(storage, served);
  if (status != chan_status::would_block) {
    core->lock.unlock();
    if (served != nullptr) tell(*served, wait_outcome::done);
    return status;
  }
  waiter mine;
  mine.owner = require_green_thread("rt::chan::recv");
  mine.element = storage;
  return core->wait_in(core->receivers(), mine, wait_reason::chan_receive, deadline);
}

chan_status chan_try_send(chan_core* core, void* element) {
  if (core == nullptr) return chan_status::would_block;
  poll_attention(current_worker());
  return offer(*core, element);
}

chan_status chan_try_recv(chan_core* core, void* storage) {
  if (core == nullptr) return chan_status::would_block;
  poll_attention(current_worker());
  return take(*core, storage);
}

void chan_close(chan_core* core) {
  if (core == nullptr) throw std::logic_error("rt::chan::close: there is no channel to close");
  core->close();
}

bool chan_closed(const chan_core* core) noexcept { return core->is_closed(); }
std::size_t chan_size(const chan_core* core) noexcept { return core->size(); }
std::size_t chan_capacity(const chan_core* core) noexcept { return core->capacity(); }

void throw_send_on_closed() { throw channel_closed("rt::chan::send: the channel is closed"); }

std::int64_t deadline_after(std::chrono::nanoseconds length) noexcept {
  std::int64_t now = os::nanotime();
  if (length.count() <= 0) return now;
  return length.count() > no_deadline - now ? no_deadline : now + length.count();
}

}  // namespace rt::detail
