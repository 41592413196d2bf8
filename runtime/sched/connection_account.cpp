#include "runtime/sched/connection_account.h"

namespace rt::detail {

namespace {

// A group that has this part less than its limit has left it: the next time that it meets it is told again.
constexpr std::uint64_t part_below = 8;

}  // namespace

bool connection_account::take() noexcept {
  std::uint64_t open = open_.load(std::memory_order_seq_cst);
  while (open < most()) {
    if (open_.compare_exchange_weak(open, open + 1, std::memory_order_seq_cst)) return true;
  }
  return false;
}

void connection_account::give_back() noexcept {
  const std::uint64_t left = open_.fetch_sub(1, std::memory_order_seq_cst) - 1;
  if (is_met_.load(std::memory_order_relaxed) && left < most() - most() / part_below) {
    is_met_.store(false, std::memory_order_relaxed);
  }
  if (listed_.load(std::memory_order_seq_cst) == 0) return;
  os::spin_guard guard(lock_);
  wake_first_locked();
}

void connection_account::set_most(std::uint64_t most) noexcept {
  most_.store(most, std::memory_order_seq_cst);
  is_met_.store(false, std::memory_order_relaxed);
  os::spin_guard guard(lock_);
  while (first_ != nullptr) wake_first_locked();
}

void connection_account::enlist(waiter& one) noexcept {
  os::spin_guard guard(lock_);
  one.previous = last_;
  one.next = nullptr;
  one.is_listed = true;
  (last_ == nullptr ? first_ : last_->next) = &one;
  last_ = &one;
  listed_.fetch_add(1, std::memory_order_seq_cst);
}

void connection_account::leave(waiter& one) noexcept {
  os::spin_guard guard(lock_);
  if (one.is_listed) return unlink_locked(one);
  // It was woken, and perhaps another one of what was given back is for the next one, or it was itself cancelled.
  if (has_room()) wake_first_locked();
}

void connection_account::wake_first_locked() noexcept {
  if (first_ == nullptr) return;
  waiter& one = *first_;
  unlink_locked(one);
  one.wake(one);
}

void connection_account::unlink_locked(waiter& one) noexcept {
  (one.previous == nullptr ? first_ : one.previous->next) = one.next;
  (one.next == nullptr ? last_ : one.next->previous) = one.previous;
  one.is_listed = false;
  listed_.fetch_sub(1, std::memory_order_seq_cst);
}

}  // namespace rt::detail
