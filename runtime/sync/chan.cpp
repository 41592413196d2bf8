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
#include <stdexcept>

#include "runtime/sched/clock.h"

namespace rt::detail {

chan_core* chan_make(const element_type& type, std::size_t capacity) {
  std::size_t align = type.align < alignof(std::max_align_t) ? alignof(std::max_align_t) : type.align;
  std::size_t header = (sizeof(chan_core) + align - 1) / align * align;
  if (capacity > (std::numeric_limits<std::size_t>::max() / 2 - header) / type.size) {
    throw std::length_error("rt::chan: a capacity of " + std::to_string(capacity) +
                            " elements does not fit into memory");
  }
  std::size_t line = align < 64 ? 64 : align;  // the lock and its data on a cache line of their own
  // Values that may refer to objects of the collected heap lie in it as well, where the collector sees them.
  bool apart = type.traced && capacity != 0;
  root_slot* root = nullptr;
  char* buffer = nullptr;
  if (apart) {
    buffer = static_cast<char*>(allocate(capacity * type.size, align, span_kind::scanned));
    root = new_root(buffer);
  }
  std::size_t total = (header + (apart ? 0 : capacity * type.size) + align - 1) / align * align;
  try {
    void* memory = ::operator new (total, std::align_val_t{line});
    if (!apart) buffer = static_cast<char*>(memory) + header;
    return ::new (memory) chan_core(type, capacity, buffer, line, root);
  } catch (const std::bad_alloc&) {
    if (root != nullptr) end_root(root);
    throw;
  }
}

void chan_retain(chan_core* core) noexcept { core->retain(); }

void chan_release(chan_core* core) noexcept { core->release(); }

void chan_core::release() noexcept RT_NO_THREAD_SAFETY_ANALYSIS {
  if (references_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  // Nobody waits: a waiter's frame holds a handle.
  for (; count_ > 0; --count_) {
    clear_slot(slot(head_));
    head_ = next_index(head_);
  }
  if (root_ != nullptr) end_root(root_);
  std::align_val_t line{line_};
  this->~chan_core();
  ::operator delete(static_cast<void*>(this), line);
}

bool chan_core::close() noexcept {
  claimed_waiters claimed;
  {
    os::spin_guard guard(lock);
    if (closed_) return false;
    closed_ = true;
    for (waiter_queue* queue : {&receivers_, &senders_}) {
      while (waiter* one = queue->claim()) claimed.add(*one);
    }
  }
  claimed.tell_all(wait_outcome::closed);
  return true;
}

// An operation on no channel: nothing but a deadline or cancellation ends it.
static chan_status wait_without_channel(wait_reason reason, std::int64_t deadline) {
  green_thread* self = require_green_thread("an operation on no channel");
  while (deadline == no_deadline || runtime_now() < deadline) {
    throw_if_cancellation_pending(*self);
    park_until(reason, deadline);
  }
  return chan_status::timed_out;
}

// The slow half of send and receive. Called with the lock held, gives it up.
chan_status chan_core::wait(worker* self, bool sending, void* element, std::int64_t deadline) {
  waiter mine;
  mine.owner = require_green_thread(sending ? "rt::chan::send" : "rt::chan::recv");
  mine.element = element;
  queue_of(sending).push(mine);
  lock.unlock_inside();
  wait_reason reason = sending ? wait_reason::chan_send : wait_reason::chan_receive;
  if (!await_outcome_within(*self, mine, reason, deadline)) {
    lock.lock();
    queue_of(sending).remove(mine);
    lock.unlock();
    throw_if_cancellation_pending(*mine.owner);
    return chan_status::timed_out;
  }
  return mine.outcome.load(std::memory_order_relaxed) == wait_outcome::done ? chan_status::ok : chan_status::closed;
}

chan_status chan_send(chan_core* core, void* element, std::int64_t deadline) {
  if (core == nullptr) return wait_without_channel(wait_reason::chan_send_nil, deadline);
  worker* self = begin_operation();
  core->lock.lock_inside();
  waiter* served = nullptr;
  chan_status status = core->send_now(element, served);
  if (status == chan_status::would_block) return core->wait(self, true, element, deadline);
  core->lock.unlock_inside();
  if (served != nullptr) tell_within(self, *served, wait_outcome::done);
  end_operation(self);
  return status;
}

chan_status chan_recv(chan_core* core, void* storage, std::int64_t deadline) {
  if (core == nullptr) return wait_without_channel(wait_reason::chan_receive_nil, deadline);
  worker* self = begin_operation();
  core->lock.lock_inside();
  waiter* served = nullptr;
  chan_status status = core->receive_now(storage, served);
  if (status == chan_status::would_block) return core->wait(self, false, storage, deadline);
  core->lock.unlock_inside();
  if (served != nullptr) tell_within(self, *served, wait_outcome::done);
  end_operation(self);
  return status;
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
  if (core == nullptr) throw usage_error("rt::chan::close: there is no channel to close");
  if (!core->close()) throw channel_closed("rt::chan::close: the channel is closed already; let one party close it");
}

bool chan_closed(const chan_core* core) noexcept { return core->is_closed(); }
std::size_t chan_size(const chan_core* core) noexcept { return core->size(); }
std::size_t chan_capacity(const chan_core* core) noexcept { return core->capacity(); }

void throw_send_on_closed() {
  throw channel_closed("rt::chan::send: the channel is closed; close it when all senders are done");
}

std::int64_t deadline_after(std::chrono::nanoseconds length) noexcept {
  std::int64_t now = runtime_now();
  if (length.count() <= 0) return now;
  return length.count() > no_deadline - now ? no_deadline : now + length.count();
}

}  // namespace rt::detail
