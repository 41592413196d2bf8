// The slow half of rt::once: who finds it running waits in the table of waiters; the store that says it is done is the
// last touch by the one that ran, so whoever returns from call() may destroy it.
#include "rt/once.h"

#include "rt/chan.h"
#include "rt/usage_error.h"
#include "runtime/sync/wait_table.h"

namespace rt {

using detail::table_waiter;
using detail::wait_bucket;
using detail::wait_bucket_of;

bool once::begin() {
  detail::green_thread* self = detail::current_green_thread();
  while (true) {
    std::uint32_t state = is_fresh;
    if (state_.compare_exchange_strong(state, is_running, std::memory_order_acquire)) {  // pairs with end
      runner_.store(self, std::memory_order_relaxed);
      return true;
    }
    if (state == is_done) return false;
    detail::require_green_thread("rt::once::call, while another runs its function,");
    if (runner_.load(std::memory_order_relaxed) == self) {
      throw usage_error("rt::once::call: called from within the function that it runs: it would wait for itself");
    }
    detail::throw_if_cancellation_pending(*self);
    table_waiter mine;
    mine.owner = self;
    mine.address = this;
    wait_bucket& bucket = wait_bucket_of(this);
    {
      os::spin_guard guard(bucket.lock);
      state = is_running;
      bool runs =
          state_.compare_exchange_strong(state, is_waited_for, std::memory_order_relaxed) || state == is_waited_for;
      if (!runs) continue;
      bucket.push(mine);
    }
    if (!await_outcome(mine, detail::wait_reason::once_call, detail::no_deadline)) {
      {
        os::spin_guard guard(bucket.lock);
        bucket.remove(mine);
      }
      detail::throw_if_cancellation_pending(*self);
    }
    // It is done; or its run does not count, and the caller may be the next one.
  }
}

void once::end(std::uint32_t state) noexcept {
  runner_.store(nullptr, std::memory_order_relaxed);
  std::uint32_t running = is_running;
  if (state_.compare_exchange_strong(running, state, std::memory_order_release)) return;  // pairs with begin and call
  detail::claimed_waiters claimed;
  {
    wait_bucket& bucket = wait_bucket_of(this);
    os::spin_guard guard(bucket.lock);
    while (table_waiter* one = bucket.claim_first(this)) claimed.add(*one);
    state_.store(state, std::memory_order_release);  // pairs with begin and call
  }
  claimed.tell_all(detail::wait_outcome::done);
}

}  // namespace rt
