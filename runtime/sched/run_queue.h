// The run queue of one P: a ring that its owner fills and empties, and that others steal from.
//
// Source: the algorithm of Go's runqput, runqget and runqgrab (runtime/proc.go), after Chase-Lev without growing.
//   Invariants: 1. only the owner writes `tail_` and the slots in [tail, head + capacity).
//               2. `head_` moves only by a successful compare-exchange, by the owner or a thief (or by a plain store of
//                  the owner while it is alone: see `alone`).
//               3. a slot's value is read before the compare-exchange that claims it; a failed claim drops the value.
// `alone` says that the runtime has one P, so that no thief exists; it changes only while the world is stopped. It
// turns the owner's claim into a plain store, which halves the cost of a switch.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

namespace rt::detail {

struct green_thread;

template <class Element, std::uint32_t Capacity>
class basic_run_queue {
  static_assert((Capacity & (Capacity - 1)) == 0, "the capacity is a power of two");

 public:
  static constexpr std::uint32_t capacity = Capacity;

  /// Owner only. False when full.
  bool push(Element* element) noexcept {
    std::uint32_t head = head_.load(std::memory_order_acquire);  // pairs with the thief's claim: its slot is free again
    std::uint32_t tail = tail_.load(std::memory_order_relaxed);
    if (tail - head >= Capacity) return false;
    slots_[tail % Capacity].store(element, std::memory_order_relaxed);
    tail_.store(tail + 1, std::memory_order_release);  // pairs with steal's load of tail: publishes the slot
    return true;
  }

  /// Owner only. The oldest element, or null.
  Element* pop(bool alone) noexcept {
    std::uint32_t head = head_.load(std::memory_order_acquire);  // pairs with the thief's claim
    while (true) {
      std::uint32_t tail = tail_.load(std::memory_order_relaxed);
      if (tail == head) return nullptr;
      Element* element = slots_[head % Capacity].load(std::memory_order_relaxed);
      if (alone) {
        head_.store(head + 1, std::memory_order_release);
        return element;
      }
      if (head_.compare_exchange_weak(head, head + 1, std::memory_order_acq_rel, std::memory_order_acquire)) {
        return element;
      }
    }
  }

  /// Owner only. Takes the older half out (to move it to the global queue), if the ring is still full. Returns how
  /// many.
  std::uint32_t take_half(std::array<Element*, Capacity / 2>& out) noexcept {
    std::uint32_t head = head_.load(std::memory_order_acquire);  // pairs with the thief's claim
    std::uint32_t tail = tail_.load(std::memory_order_relaxed);
    if (tail - head < Capacity / 2) return 0;
    for (std::uint32_t i = 0; i < Capacity / 2; ++i) {
      out[i] = slots_[(head + i) % Capacity].load(std::memory_order_relaxed);
    }
    if (!head_.compare_exchange_strong(head, head + Capacity / 2, std::memory_order_acq_rel)) return 0;
    return Capacity / 2;
  }

  /// A thief that owns `into`: moves the older half of this queue there, but for one element, which it returns.
  Element* steal_into(basic_run_queue& into) noexcept {
    std::uint32_t into_tail = into.tail_.load(std::memory_order_relaxed);
    std::uint32_t head = head_.load(std::memory_order_acquire);  // pairs with other thieves' claims
    while (true) {
      std::uint32_t tail = tail_.load(std::memory_order_acquire);  // pairs with push: the slots below are written
      std::uint32_t count = tail - head;
      count -= count / 2;
      if (count == 0) return nullptr;
      if (count > Capacity / 2) {  // head and tail were read at different moments
        head = head_.load(std::memory_order_acquire);
        continue;
      }
      for (std::uint32_t i = 0; i < count; ++i) {
        Element* element = slots_[(head + i) % Capacity].load(std::memory_order_relaxed);
        into.slots_[(into_tail + i) % Capacity].store(element, std::memory_order_relaxed);
      }
      if (!head_.compare_exchange_weak(head, head + count, std::memory_order_acq_rel, std::memory_order_acquire))
        continue;
      Element* last = into.slots_[(into_tail + count - 1) % Capacity].load(std::memory_order_relaxed);
      if (count > 1) into.tail_.store(into_tail + count - 1, std::memory_order_release);  // pairs with steal's load
      return last;
    }
  }

  /// How many elements, at about this moment; 0 only if there was a moment at which it was empty.
  std::uint32_t size() const noexcept {
    while (true) {
      std::uint32_t head = head_.load(std::memory_order_acquire);  // pairs with claims
      std::uint32_t tail = tail_.load(std::memory_order_acquire);  // pairs with push
      std::uint32_t count = tail - head;
      if (count <= Capacity) return count;  // else the caller lost its CPU in between, and the owner went on for long
    }
  }

 private:
  alignas(64) std::atomic<std::uint32_t> head_{0};
  alignas(64) std::atomic<std::uint32_t> tail_{0};
  std::array<std::atomic<Element*>, Capacity> slots_{};
};

using run_queue = basic_run_queue<green_thread, 256>;

}  // namespace rt::detail
