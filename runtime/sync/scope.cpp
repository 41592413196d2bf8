#include <exception>
#include <utility>

#include "rt/chan.h"
#include "rt/context.h"
#include "rt/go.h"
#include "runtime/sched/cancel_domain.h"
#include "runtime/sched/clock.h"
#include "runtime/sched/park.h"
#include "runtime/sync/contention.h"

namespace rt {

namespace {

// Waits until no member is left (true) or the deadline passes. Cancellation of the caller reaches the members by their
// domain, so it need not end this; that of a context does not, so it is passed on.
bool wait_for_members(detail::cancel_domain& domain, std::int64_t deadline) noexcept {
  detail::green_thread* self = detail::current_green_thread();
  const std::uint64_t since = detail::begin_block();
  while (true) {
    bool over;
    bool late = deadline != detail::no_deadline && detail::runtime_now() >= deadline;
    {
      os::spin_guard guard(domain.lock);
      over = domain.member_count == 0;
      domain.waiter = over || late ? nullptr : self;
    }
    if (over || late) {
      detail::note_block(since);
      return over;
    }
    if (cancellation_pending(*self)) domain.cancel();
    detail::park_until(detail::wait_reason::scope_wait, deadline);
  }
}

}  // namespace

scope::scope() : domain_(new detail::cancel_domain(*detail::require_green_thread("rt::scope")->domain)) {}

scope::~scope() {
  bool busy;
  {
    os::spin_guard guard(domain_->lock);
    busy = domain_->member_count != 0;
  }
  if (busy) {
    domain_->cancel();
    wait_for_members(*domain_, detail::no_deadline);
  }
  delete domain_;
}

void scope::wait() { wait_until_deadline(detail::no_deadline); }

void scope::wait(const context& within) {
  context_scope obey(within);
  wait();
}

bool scope::wait_for(std::chrono::nanoseconds length) { return wait_until_deadline(detail::deadline_after(length)); }

bool scope::wait_until(std::chrono::steady_clock::time_point deadline) {
  return wait_until_deadline(detail::deadline_at(deadline));
}

bool scope::wait_until_deadline(std::int64_t deadline) {
  detail::green_thread* self = detail::require_green_thread("rt::scope::wait");
  if (!wait_for_members(*domain_, deadline)) {
    detail::throw_if_cancellation_pending(*self);
    return false;
  }
  std::exception_ptr failure;
  {
    os::spin_guard guard(domain_->lock);
    failure = std::exchange(domain_->failure, nullptr);
  }
  if (failure != nullptr) std::rethrow_exception(std::move(failure));
  detail::throw_if_cancellation_pending(*self);
  return true;
}

void scope::cancel() noexcept { domain_->cancel(); }

}  // namespace rt
