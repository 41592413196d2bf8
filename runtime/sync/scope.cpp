#include <exception>
#include <utility>

#include "rt/go.h"
#include "runtime/sched/cancel_domain.h"
#include "runtime/sched/park.h"

namespace rt {

namespace {

// Waits until no member is left. Cancellation of the caller reaches the members by their domain, so it need not end
// this.
void wait_for_members(detail::cancel_domain& domain) noexcept {
  detail::green_thread* self = detail::current_green_thread();
  while (true) {
    {
      os::spin_guard guard(domain.lock);
      if (domain.member_count == 0) {
        domain.waiter = nullptr;
        return;
      }
      domain.waiter = self;
    }
    detail::park(detail::wait_reason::scope_wait);
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
    wait_for_members(*domain_);
  }
  delete domain_;
}

void scope::wait() {
  detail::green_thread* self = detail::require_green_thread("rt::scope::wait");
  wait_for_members(*domain_);
  std::exception_ptr failure;
  {
    os::spin_guard guard(domain_->lock);
    failure = std::exchange(domain_->failure, nullptr);
  }
  if (failure != nullptr) std::rethrow_exception(std::move(failure));
  detail::throw_if_cancellation_pending(*self);
}

void scope::cancel() noexcept { domain_->cancel(); }

}  // namespace rt
