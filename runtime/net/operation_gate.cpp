#include "runtime/net/operation_gate.h"

namespace rt::net::detail {

using rt::detail::green_thread;

bool operation_gate::enter(direction side) {
  std::uint32_t word = word_.load(std::memory_order_relaxed);
  while (true) {
    if ((word & closed_bit) != 0) return false;
    if ((word & busy_bit(side)) != 0) return enter_slow(side);
    std::uint32_t entered = (word | busy_bit(side)) + unit;
    if (word_.compare_exchange_weak(word, entered, std::memory_order_acquire, std::memory_order_relaxed)) return true;
  }
}

bool operation_gate::enter_slow(direction side) {
  green_thread& self = *rt::detail::current_green_thread();
  queued mine{&self, nullptr, turn::waiting};
  {
    os::spin_guard guard(lock_);
    std::uint32_t word = word_.load(std::memory_order_relaxed);
    while (true) {
      if ((word & closed_bit) != 0) return false;
      if ((word & busy_bit(side)) == 0) {
        std::uint32_t entered = (word | busy_bit(side)) + unit;
        if (word_.compare_exchange_weak(word, entered, std::memory_order_acquire, std::memory_order_relaxed))
          return true;
      } else if (word_.compare_exchange_weak(word, word | queued_bit(side), std::memory_order_relaxed)) {
        break;  // from now on the one inside cannot leave without looking at the queue
      }
    }
    queue& all = queues_[static_cast<int>(side)];
    (all.last == nullptr ? all.first : all.last->next) = &mine;
    all.last = &mine;
  }
  while (true) {
    turn state = mine.state.load(std::memory_order_acquire);  // pairs with hand_over and close
    if (state != turn::waiting) return state == turn::granted;
    if (rt::detail::cancellation_pending(self)) {
      bool out;
      {
        os::spin_guard guard(lock_);
        out = mine.state.load(std::memory_order_relaxed) == turn::waiting;
        if (out) take_out(side, mine);
      }
      // Granted in the last moment: the operation finds the cancellation itself, and leaves in order.
      if (out) rt::detail::throw_if_cancellation_pending(self);
      continue;
    }
    rt::detail::park(rt::detail::wait_reason::io_wait);
  }
}

operation_gate::queued* operation_gate::take_first(direction side) noexcept {
  queue& all = queues_[static_cast<int>(side)];
  queued* first = all.first;
  if (first == nullptr) return nullptr;
  all.first = first->next;
  if (all.first == nullptr) {
    all.last = nullptr;
    word_.fetch_and(~queued_bit(side), std::memory_order_relaxed);
  }
  return first;
}

void operation_gate::take_out(direction side, queued& one) noexcept {
  queue& all = queues_[static_cast<int>(side)];
  queued* before = nullptr;
  for (queued* each = all.first; each != &one; each = each->next) before = each;
  (before == nullptr ? all.first : before->next) = one.next;
  if (all.last == &one) all.last = before;
  if (all.first == nullptr) word_.fetch_and(~queued_bit(side), std::memory_order_relaxed);
}

// Gives the caller's place, with its count, to the first in the queue. False when there is nobody.
bool operation_gate::hand_over(direction side) noexcept {
  green_thread* who;
  {
    os::spin_guard guard(lock_);
    queued* next = take_first(side);
    if (next == nullptr) return false;
    who = next->who;
    next->state.store(turn::granted, std::memory_order_release);  // pairs with enter_slow: it sees what we did inside
  }
  rt::detail::unpark(*who);
  return true;
}

bool operation_gate::leave(direction side) noexcept {
  std::uint32_t word = word_.load(std::memory_order_relaxed);
  while (true) {
    if ((word & queued_bit(side)) != 0) {
      if (hand_over(side)) return false;
      word = word_.load(std::memory_order_relaxed);
      continue;
    }
    std::uint32_t left = (word & ~busy_bit(side)) - unit;
    // Release: the next one in sees what we did. Acquire: the last one out sees what all others did.
    if (word_.compare_exchange_weak(word, left, std::memory_order_acq_rel, std::memory_order_relaxed)) {
      return is_last(left);
    }
  }
}

bool operation_gate::enter_shared() noexcept {
  std::uint32_t word = word_.load(std::memory_order_relaxed);
  while (true) {
    if ((word & closed_bit) != 0) return false;
    if (word_.compare_exchange_weak(word, word + unit, std::memory_order_acquire, std::memory_order_relaxed))
      return true;
  }
}

bool operation_gate::leave_shared() noexcept {
  return is_last(word_.fetch_sub(unit, std::memory_order_acq_rel) - unit);
}

bool operation_gate::close() noexcept {
  if ((word_.fetch_or(closed_bit, std::memory_order_acq_rel) & closed_bit) != 0) return false;
  for (direction side : {direction::read, direction::write}) {
    while (true) {
      green_thread* who;
      {
        os::spin_guard guard(lock_);
        queued* next = take_first(side);
        if (next == nullptr) break;
        who = next->who;
        next->state.store(turn::refused, std::memory_order_release);  // pairs with enter_slow
      }
      rt::detail::unpark(*who);
    }
  }
  return true;
}

}  // namespace rt::net::detail
