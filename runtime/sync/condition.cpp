#include <new>

#include "rt/chan.h"
#include "rt/sync.h"
#include "runtime/sync/wait_list.h"

namespace rt {

using detail::wait_list_access;

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
