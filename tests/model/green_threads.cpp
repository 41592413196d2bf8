#include "tests/model/green_threads.h"

#include <cstdlib>

#include <exception>
#include <utility>

#include "rt/context.h"
#include "rt/gc.h"
#include "rt/go.h"
#include "rt/make.h"
#include "rt/ref.h"
#include "runtime/os/fatal.h"
#include "runtime/os/worker_slot.h"
#include "runtime/sched/misuse.h"
#include "runtime/sync/contention.h"

namespace rt_model {

void green::run(std::function<void()> body) {
  thread([this, work = std::move(body)] {
    rt::os::set_worker_slot(&m);
    work();
    rt::os::set_worker_slot(nullptr);
  });
}

void green::cancel() noexcept {
  root.cancelled.store(true, std::memory_order_release);  // pairs with is_cancelled
  rt::detail::unpark(*this);
}

}  // namespace rt_model

namespace rt::detail {

void park(wait_reason) noexcept {
  auto* one = static_cast<rt_model::green*>(current_green_thread());
  if (park_word::take_token(one->park)) return;
  if (!park_word::settle(one->park)) return;
  rt_model::wait_for(one->ready, 1);
  one->ready.store(0, std::memory_order_relaxed);
}

void park_within(worker& self, wait_reason reason) noexcept {
  os::leave_critical(self);
  park(reason);
}

void park_until(wait_reason reason, std::int64_t) noexcept { park(reason); }

bool claim_parked(green_thread& one) noexcept {
  return park_word::claim(one.park) != park_word::claim_result::token_left;
}

void make_ready(green_thread& one) noexcept {
  static_cast<rt_model::green&>(one).ready.store(1, std::memory_order_release);
}

void make_ready_within(worker&, green_thread& one) noexcept { make_ready(one); }

// In no model is there one.
void unpark(coroutine_record&) noexcept { std::abort(); }

void unpark(green_thread& one) noexcept {
  if (claim_parked(one)) make_ready(one);
}

void refuse_caller(const char* what) noexcept { os::fatal("%s outside of a green thread", what); }

void throw_cancelled(const green_thread&) { throw cancelled(); }
bool is_unwinding() noexcept { return std::uncaught_exceptions() != 0; }
void make_way(worker&) noexcept {}                            // each has an M of its own
worker& regain_proc() noexcept { return *current_worker(); }  // and loses no P

// Nothing is measured (sync/contention.h).
std::uint64_t begin_block() noexcept { return 0; }
void note_block(std::uint64_t) noexcept {}
void note_unlock(std::uint64_t) noexcept {}
void count_mutex_wait(std::uint64_t) noexcept {}
// No value of a test refers to an object of the collected heap.
std::atomic<bool> gc_marking{false};
void shade_words(const void*, std::size_t) noexcept {}
void* allocate(std::size_t, std::size_t, span_kind) { os::fatal("no heap"); }
root_slot* new_root(const void*) { os::fatal("no heap"); }
void end_root(root_slot*) noexcept {}

void context_release(context_core*) noexcept {}  // there is none
void report_misuse(const char* text) noexcept { os::fatal("%s", text); }

std::atomic<std::int64_t> virtual_now{0};  // no test bubble
cancel_domain::~cancel_domain() {}         // a root, which nothing is linked to

}  // namespace rt::detail

namespace rt {

// Nobody waits with a context.
void context::throw_if_ended() const {}
context_scope::context_scope(const context&) {}
context_scope::~context_scope() { static_cast<void>(binding_); }

void checkpoint() { detail::throw_if_cancellation_pending(*detail::current_green_thread()); }

}  // namespace rt
