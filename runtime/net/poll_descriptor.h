// Waiting for sockets: how a green thread and the poller agree on who waits and what has happened.
//
// Every socket has one poll descriptor, and each direction of it (reading, writing) one word:
//
//     empty    nothing known, nobody waits
//     ready    the kernel has reported something since the word was last emptied
//     pointer  this green thread waits
//
// An operation tries its system call first. When that would block, the green thread puts itself into the word and
// parks; the poller exchanges the word for `ready` and makes ready whomever it found there. The green thread takes
// itself (or the `ready`) out of the word and tries again. epoll is edge-triggered and a socket is registered once, for
// both directions, when it first has to wait; so a connection that never waits costs no epoll call, and one that does
// costs no further ones.
//
// Invariants
//   1 At most one green thread at a time waits in one direction (operation_gate.h queues the others).
//   2 `ready` is a hint: it leads to one more try, never to a result. So a report that belongs to an earlier socket
//     with the same descriptor number, or that was consumed already, costs a wasted system call and nothing else.
//   3 A word is emptied before a system call, and set after an event; so an event that comes after a try that found
//     nothing is never overwritten (the fence in discard_ready).
//   4 A green thread looks at `evicted` and at the deadline after it has put itself into the word; whoever changes them
//     looks at the word afterwards. All four are seq_cst: one of the two sees the other.
//   5 Descriptors are never freed, only used again with another generation (descriptor_table.h), so that an event or a
//     setter that comes late finds memory of the right type.
//
// The races by name: *late event*: epoll_wait has returned an event, then the socket was closed and its descriptor
// serves another socket: the generation in the event is compared, and what slips through is harmless by invariant 2.
// *Moved deadline*: a green thread parks until the old one; set_deadline unparks it and it looks again, by invariant 4.
// *Wake of a dead one*: the pointer was read from the word, then the waiter gave up and ended: see park.h. *Stale
// errno*: a green thread reads errno through an address that belongs to the kernel thread it ran on before: see
// system_calls.h.
//
// Rejected: level-triggered epoll with one-shot registration (a system call for each wait); a list of waiters for each
// direction (two readers of one stream can do nothing sensible with it, the gate makes them take turns); Go's timer for
// each deadline with a sequence number (park_until has a deadline anyway, and nothing can fire late).
#pragma once

#include <atomic>
#include <cstdint>

#include "runtime/sched/park.h"
#include "runtime/sched/poller.h"

namespace rt::net::detail {

/// The two halves of a socket, which wait independently.
enum class direction : std::uint8_t { read = 0, write = 1 };

/// Why a wait ended.
enum class wait_result : std::uint8_t {
  ready,          ///< worth another try
  evicted,        ///< the socket was closed on this side
  timed_out,      ///< the deadline of the direction passed
  interval_over,  ///< the time that the caller of wait() gave has passed
};

/// A time on the steady clock in ns that never comes.
inline constexpr std::int64_t no_deadline = INT64_MAX;

class alignas(64) poll_descriptor {
 public:
  poll_descriptor() = default;
  poll_descriptor(const poll_descriptor&) = delete;
  poll_descriptor& operator=(const poll_descriptor&) = delete;

  // --- the side of the socket's user; reading and writing each by one green thread at a time ------------------------

  /// Before the first try of an operation: what was reported before it is old news.
  void discard_ready(direction side) noexcept;
  /// Whether the deadline of this direction has passed.
  bool deadline_passed(direction side) const noexcept;
  /// Registers `fd` with the poller, if it is not. 0 or an errno.
  int register_with_poller(int fd) noexcept;
  /// Parks the calling green thread until the poller reports something, the socket is evicted, the deadline of the
  /// direction has passed, or `until` (steady clock, ns) has. The descriptor must be registered. Throws rt::cancelled.
  wait_result wait(direction side, std::int64_t until);

  /// Sets the deadline (steady clock, ns; no_deadline for none), also for who waits now. Any thread may call it.
  void set_deadline(direction side, std::int64_t when) noexcept;
  /// Ends all waits, now and later, with wait_result::evicted. Any thread may call it.
  void evict() noexcept;
  /// The next try may succeed for a reason that the kernel does not know: wakes who waits. Any thread may call it.
  void nudge(direction side) noexcept;
  /// Takes `fd` out of the poller, before it is closed. No operation may run any more.
  void unregister(int fd) noexcept;

  // --- the side of the poller ---------------------------------------------------------------------------------------

  /// Something has happened in this direction. Adds the green thread that waits, if it is parked, to `ready`.
  void report(direction side, rt::detail::ready_list& ready) noexcept;
  /// What the events of this use of the descriptor carry (descriptor_table.h).
  std::uint64_t tag() const noexcept {
    return static_cast<std::uint64_t>(generation_.load(std::memory_order_relaxed)) << 32 | index_;
  }

 private:
  friend class descriptor_table;

  static constexpr std::uintptr_t empty = 0;
  static constexpr std::uintptr_t ready_mark = 1;

  struct half {
    std::atomic<std::uintptr_t> word{empty};
    std::atomic<std::int64_t> deadline{no_deadline};
  };
  half& of(direction side) noexcept { return halves_[static_cast<int>(side)]; }
  const half& of(direction side) const noexcept { return halves_[static_cast<int>(side)]; }

  half halves_[2];
  std::atomic<bool> evicted_{false};
  std::atomic<bool> registered_{false};
  std::atomic<std::uint32_t> generation_{1};
  std::uint32_t index_ = 0;
  poll_descriptor* next_free_ = nullptr;  // guarded by the table's lock
};

}  // namespace rt::net::detail
