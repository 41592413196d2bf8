#include "runtime/net/poll_descriptor.h"

#include <algorithm>
#include <cerrno>

#include "runtime/net/epoll_poller.h"
#include "runtime/sched/clock.h"

namespace rt::net::detail {

using rt::detail::green_thread;

void poll_descriptor::discard_ready(direction side) noexcept {
  half& mine = of(side);
  if (mine.word.load(std::memory_order_acquire) != ready_mark) return;
  mine.word.store(empty, std::memory_order_relaxed);
  // Invariant 3: the word is empty before the system call looks at the socket. Without the fence the store could become
  // visible after an event that the call did not see, and wipe it out.
  std::atomic_thread_fence(std::memory_order_seq_cst);
}

bool poll_descriptor::deadline_passed(direction side) const noexcept {
  std::int64_t deadline = of(side).deadline.load(std::memory_order_relaxed);
  return deadline != no_deadline && deadline <= rt::detail::runtime_now();
}

int poll_descriptor::register_with_poller(int fd) noexcept {
  if (registered_.load(std::memory_order_acquire)) return 0;  // pairs with the store below
  int error = shared_poller().add(fd, tag());
  // Reader and writer may come here at the same time; the second finds the work done.
  if (error != 0 && error != EEXIST) return error;
  registered_.store(true, std::memory_order_release);  // pairs with the load above
  return 0;
}

void poll_descriptor::unregister(int fd) noexcept {
  if (registered_.load(std::memory_order_acquire)) shared_poller().remove(fd);
}

wait_result poll_descriptor::wait(direction side, std::int64_t until) {
  green_thread& self = *rt::detail::current_green_thread();
  half& mine = of(side);
  auto me = reinterpret_cast<std::uintptr_t>(&self);
  std::uintptr_t expected = empty;
  if (!mine.word.compare_exchange_strong(expected, me, std::memory_order_seq_cst)) {
    discard_ready(side);  // an event came between the caller's try and now
    return wait_result::ready;
  }

  epoll_poller& poller = shared_poller();
  poller.add_waiter(side);
  wait_result result;
  while (true) {
    if (evicted_.load(std::memory_order_seq_cst)) {
      result = wait_result::evicted;
      break;
    }
    if (mine.word.load(std::memory_order_acquire) != me || rt::detail::cancellation_pending(self)) {
      result = wait_result::ready;
      break;
    }
    std::int64_t deadline = mine.deadline.load(std::memory_order_seq_cst);
    std::int64_t end = std::min(deadline, until);
    if (end != no_deadline && end <= rt::detail::runtime_now()) {
      result = end == deadline ? wait_result::timed_out : wait_result::interval_over;
      break;
    }
    rt::detail::park_until(rt::detail::wait_reason::io_wait, end);
  }
  poller.remove_waiter(side);

  expected = me;
  if (!mine.word.compare_exchange_strong(expected, empty, std::memory_order_seq_cst)) {
    discard_ready(side);
    // What came before the deadline is delivered, even when both are found at once.
    if (result != wait_result::evicted) result = wait_result::ready;
  }
  rt::detail::throw_if_cancellation_pending(self);
  return result;
}

void poll_descriptor::set_deadline(direction side, std::int64_t when) noexcept {
  half& mine = of(side);
  mine.deadline.store(when, std::memory_order_seq_cst);
  std::uintptr_t word = mine.word.load(std::memory_order_seq_cst);
  if (word > ready_mark) rt::detail::unpark(*reinterpret_cast<green_thread*>(word));
}

void poll_descriptor::evict() noexcept {
  evicted_.store(true, std::memory_order_seq_cst);
  for (half& each : halves_) {
    std::uintptr_t word = each.word.load(std::memory_order_seq_cst);
    if (word > ready_mark) rt::detail::unpark(*reinterpret_cast<green_thread*>(word));
  }
}

void poll_descriptor::nudge(direction side) noexcept {
  std::uintptr_t before = of(side).word.exchange(ready_mark, std::memory_order_seq_cst);
  if (before > ready_mark) rt::detail::unpark(*reinterpret_cast<green_thread*>(before));
}

void poll_descriptor::report(direction side, rt::detail::ready_list& ready) noexcept {
  std::uintptr_t before = of(side).word.exchange(ready_mark, std::memory_order_seq_cst);
  if (before <= ready_mark) return;
  auto& waiting = *reinterpret_cast<green_thread*>(before);
  // When it is not parked yet, the claim has left it the token, and it will not park.
  if (rt::detail::claim_parked(waiting)) ready.push(waiting);
}

}  // namespace rt::net::detail
