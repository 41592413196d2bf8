// Who may use a socket's descriptor: the count of running operations, turns for readers and writers, and the close.
//
// close() must wake operations that wait, and must not let one that is about to start touch the descriptor number,
// which the system may have given to another file already. So an operation enters before it looks at the number and
// leaves afterwards; close() only forbids to enter, and the last one out (perhaps the closer itself) really closes.
//
// One word: closed, a "busy" and a "queued" bit for each direction, and the number of operations inside plus one for
// the socket being open. Entering and leaving without contention is one compare-exchange each. A reader that finds
// another reader inside queues here; the one that leaves hands its place over, first come, first served.
#pragma once

#include <atomic>
#include <cstdint>

#include "runtime/net/poll_descriptor.h"
#include "runtime/os/spin_lock.h"

namespace rt::net::detail {

class operation_gate {
 public:
  operation_gate() = default;
  operation_gate(const operation_gate&) = delete;
  operation_gate& operator=(const operation_gate&) = delete;

  /// Enters as the only operation of this direction; parks until it is the caller's turn. False: closed, not entered.
  /// Throws rt::cancelled, not entered. Green threads only.
  [[nodiscard]] bool enter(direction side);
  /// True: the caller was the last one out of a closed gate, and must close the descriptor.
  [[nodiscard]] bool leave(direction side) noexcept;

  /// Enters for something that never waits, beside all others. False: closed. Any thread may call it.
  [[nodiscard]] bool enter_shared() noexcept;
  /// As leave. After close(), the closer calls it once for the open socket.
  [[nodiscard]] bool leave_shared() noexcept;

  /// Lets nobody in any more, and wakes those who queue. False when it was closed before. Any thread may call it.
  [[nodiscard]] bool close() noexcept;
  bool is_closed() const noexcept { return (word_.load(std::memory_order_acquire) & closed_bit) != 0; }

 private:
  enum class turn : std::uint8_t { waiting, granted, refused };
  struct queued {  // on the stack of the one who queues; not to be touched once `state` is set
    rt::detail::green_thread* who;
    queued* next;
    std::atomic<turn> state;
  };
  struct queue {
    queued* first = nullptr;
    queued* last = nullptr;
  };

  static constexpr std::uint32_t closed_bit = 1;
  static constexpr std::uint32_t unit = 32;  // of the count, which has the bits above the flags
  static constexpr std::uint32_t busy_bit(direction side) noexcept { return 2U << static_cast<int>(side); }
  static constexpr std::uint32_t queued_bit(direction side) noexcept { return 8U << static_cast<int>(side); }
  static constexpr bool is_last(std::uint32_t word) noexcept { return (word & closed_bit) != 0 && word / unit == 0; }

  bool enter_slow(direction side);
  bool hand_over(direction side) noexcept;
  queued* take_first(direction side) noexcept RT_REQUIRES(lock_);
  void take_out(direction side, queued& one) noexcept RT_REQUIRES(lock_);

  std::atomic<std::uint32_t> word_{unit};
  os::spin_lock lock_{os::lock_rank::poll};
  queue queues_[2] RT_GUARDED_BY(lock_);
};

}  // namespace rt::net::detail
