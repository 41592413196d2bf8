#include <new>

#include "rt/chan.h"
#include "rt/condition.h"
#include "runtime/sync/wait_list.h"

namespace rt {

using detail::wait_list_access;

std::int64_t condition::deadline_in(std::chrono::nanoseconds length) noexcept { return detail::deadline_after(length); }

std::int64_t condition::deadline_at(std::chrono::steady_clock::time_point when) noexcept {
  return detail::deadline_at(when);
}

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
  if (await_outcome(mine, detail::wait_reason::condition_wait, deadline)) return true;
  wait_list_access::guard guard(waiters_);
  wait_list_access::remove(waiters_, mine);
  return false;
}

void condition::notify_one() noexcept {
  detail::waiter* claimed = nullptr;
  {
    wait_list_access::guard guard(waiters_);
    claimed = wait_list_access::claim(waiters_);
  }
  if (claimed != nullptr) tell(*claimed, detail::wait_outcome::done);
}

void condition::notify_all() noexcept {
  detail::claimed_waiters claimed;
  {
    wait_list_access::guard guard(waiters_);
    while (detail::waiter* one = wait_list_access::claim(waiters_)) claimed.add(*one);
  }
  claimed.tell_all(detail::wait_outcome::done);
}

}  // namespace rt
