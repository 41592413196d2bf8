#include <new>

#include "rt/chan.h"
#include "rt/sync.h"
#include "runtime/os/fatal.h"
#include "runtime/sync/wait_list.h"

namespace rt {

namespace {

using detail::wait_list_access;

// The state word. `waited_for` is set while the list has waiters, and changes only under the list's lock; whoever unlocks
// then hands the mutex over without ever making it free.
constexpr std::uint32_t is_locked = 1;
constexpr std::uint32_t waited_for = 2;

// Looks at a locked mutex before parking, while other Ps run: about 0.5 us (Go spins four times 30 pauses as well).
constexpr int spin_rounds = 4;
constexpr int pauses_in_round = 30;

bool others_may_unlock() noexcept {
  detail::worker* self = detail::current_worker();
  return self != nullptr && self->p != nullptr && !self->p->alone;
}

}  // namespace

void mutex::lock() {
  std::uint32_t free = 0;
  if (state_.compare_exchange_strong(free, is_locked, std::memory_order_acquire)) return;  // pairs with unlock
  lock_slow(detail::no_deadline);
}

bool mutex::try_lock() noexcept {
  std::uint32_t free = 0;
  return state_.compare_exchange_strong(free, is_locked, std::memory_order_acquire);  // pairs with unlock
}

bool mutex::try_lock_for(std::chrono::nanoseconds length) {
  return try_lock() || lock_slow(detail::deadline_after(length));
}

bool mutex::lock_slow(std::int64_t deadline) {
  if (others_may_unlock()) {
    for (int round = 0; round < spin_rounds; ++round) {
      for (int i = 0; i < pauses_in_round; ++i) os::cpu_pause();
      if (state_.load(std::memory_order_relaxed) == 0 && try_lock()) return true;
    }
  }
  detail::green_thread* self = detail::require_green_thread("rt::mutex::lock");
  detail::throw_if_cancellation_pending(*self);
  detail::waiter mine;
  mine.owner = self;
  {
    wait_list_access::guard guard(waiters_);
    std::uint32_t state = state_.load(std::memory_order_relaxed);
    while (true) {
      if ((state & is_locked) == 0) {
        if (state_.compare_exchange_weak(state, state | is_locked, std::memory_order_acquire)) return true;
      } else if ((state & waited_for) != 0 ||
                 state_.compare_exchange_weak(state, state | waited_for, std::memory_order_relaxed)) {
        break;
      }
    }
    wait_list_access::push(waiters_, mine);
  }
  bool handed = await_outcome(mine, detail::wait_reason::mutex_lock, deadline);
  {
    wait_list_access::guard guard(waiters_);
    if (!handed) handed = !wait_list_access::remove(waiters_, mine);
    if (!handed && wait_list_access::empty(waiters_)) state_.fetch_and(~waited_for, std::memory_order_relaxed);
  }
  if (!handed) detail::throw_if_cancellation_pending(*self);
  return handed;
}

void mutex::unlock() noexcept {
  std::uint32_t state = is_locked;
  if (state_.compare_exchange_strong(state, 0, std::memory_order_release)) return;  // pairs with lock
  unlock_slow(state);
}

void mutex::unlock_slow(std::uint32_t state) noexcept {
  if ((state & is_locked) == 0) os::fatal("rt::mutex::unlock: the mutex is not locked");
  wait_list_access::guard guard(waiters_);
  detail::waiter* next = wait_list_access::pop(waiters_);
  if (next == nullptr) {
    // The last waiter gave up in the meantime.
    state_.store(0, std::memory_order_release);  // pairs with lock
    return;
  }
  if (wait_list_access::empty(waiters_)) state_.fetch_and(~waited_for, std::memory_order_relaxed);
  wait_list_access::wake(*next);  // the mutex stays locked: it is the woken one's now
}

// ---------------------------------------------------------------------------------------------------------------------

std::int64_t condition::deadline_in(std::chrono::nanoseconds length) noexcept { return detail::deadline_after(length); }

void condition::throw_if_cancelled() {
  if (detail::green_thread* self = detail::current_green_thread(); self != nullptr) {
    detail::throw_if_cancellation_pending(*self);
  }
}

void condition::enlist(void* node) noexcept {
  auto* mine = ::new (node) detail::waiter;
  mine->owner = detail::require_green_thread("rt::condition::wait");
  wait_list_access::guard guard(waiters_);
  wait_list_access::push(waiters_, *mine);
}

bool condition::await(void* node, std::int64_t deadline) noexcept {
  auto& mine = *static_cast<detail::waiter*>(node);
  bool notified = await_outcome(mine, detail::wait_reason::condition_wait, deadline);
  wait_list_access::guard guard(waiters_);
  return notified || !wait_list_access::remove(waiters_, mine);
}

void condition::notify_one() noexcept {
  wait_list_access::guard guard(waiters_);
  if (detail::waiter* one = wait_list_access::pop(waiters_); one != nullptr) wait_list_access::wake(*one);
}

void condition::notify_all() noexcept {
  wait_list_access::guard guard(waiters_);
  while (detail::waiter* one = wait_list_access::pop(waiters_)) wait_list_access::wake(*one);
}

}  // namespace rt
