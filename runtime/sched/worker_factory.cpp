#include "runtime/sched/worker_factory.h"

#include <new>
#include <system_error>

#include "runtime/os/clock.h"
#include "runtime/os/fatal.h"
#include "runtime/os/futex.h"
#include "runtime/os/thread.h"
#include "runtime/os/thread_census.h"
#include "runtime/sched/scheduler.h"

namespace rt::detail {

namespace {

// After the system has refused a thread: how long until the next try, in nanoseconds. The Ms that exist go on
// meanwhile.
constexpr std::int64_t pause_after_refusal = 10'000'000;

}  // namespace

void worker_factory::start() {
  if (!os::start_thread(thread_, &thread_main, this)) {
    throw std::system_error(std::make_error_code(std::errc::resource_unavailable_try_again),
                            "the thread that makes the scheduler's threads");
  }
  started_ = true;
}

void worker_factory::stop() noexcept {
  if (!started_) return;
  stopping_.store(true, std::memory_order_relaxed);  // ordered by the exchange in nudge
  nudge();
  pthread_join(thread_, nullptr);
  started_ = false;
}

void worker_factory::nudge() noexcept {
  // acq_rel: whatever the caller has written is seen by the thread that takes the request.
  if (asked_.exchange(1, std::memory_order_acq_rel) == 0) os::futex_wake(asked_, 1);
}

void* worker_factory::thread_main(void* argument) noexcept {
  os::own_thread counted;
  os::prepare_worker_thread("rt-factory");
  static_cast<worker_factory*>(argument)->run();
  return nullptr;
}

void worker_factory::run() noexcept {
  bool refused = false;
  while (true) {
    while (asked_.exchange(0, std::memory_order_acq_rel) == 0) {  // pairs with nudge
      if (!os::futex_wait(asked_, 0, refused ? pause_after_refusal : -1)) break;
    }
    if (stopping_.load(std::memory_order_relaxed)) return;
    bury_ended();
    refused = !make_wanted();
  }
}

// Makes Ms until none is wanted. False when the system refused one.
bool worker_factory::make_wanted() noexcept {
  scheduler& the = scheduler_;
  while (true) {
    {
      os::spin_guard guard(the.lock_);
      // An M that was made before and still prepares itself takes one of those that wait.
      if (the.waiting_count_ <= the.preparing_count_ &&
          (!spare_wanted_.exchange(false, std::memory_order_relaxed) || the.idle_workers_ != nullptr)) {
        return true;
      }
      if (the.worker_count_ >= the.max_threads_) return true;  // the P is given to the first M that becomes idle
      ++the.worker_count_;
      ++the.preparing_count_;
    }
    auto* fresh = new (std::nothrow) worker;
    if (fresh != nullptr) {
      fresh->random = os::cycles() | 1;
      fresh->critical.store(1, std::memory_order_relaxed);  // until its first green thread runs code of its own
      {
        os::spin_guard guard(the.lock_);
        fresh->all_link = the.all_workers_;
        the.all_workers_ = fresh;
      }
      pthread_t thread{};
      if (os::start_thread(thread, &scheduler::thread_main, fresh)) {
        the.totals_.threads_created.fetch_add(1, std::memory_order_relaxed);
        os::spin_guard guard(the.lock_);
        fresh->thread = thread;  // the M writes it as well: whoever is first
        continue;
      }
    }
    os::spin_guard guard(the.lock_);
    if (fresh != nullptr) {
      worker** place = &the.all_workers_;
      while (*place != fresh) place = &(*place)->all_link;
      *place = fresh->all_link;
      delete fresh;
    }
    --the.preparing_count_;
    if (--the.worker_count_ == 0) os::fatal("the system refuses the first thread of the scheduler");
    return false;
  }
}

void worker_factory::bury_ended() noexcept {
  while (true) {
    worker* ended = nullptr;
    {
      os::spin_guard guard(scheduler_.lock_);
      ended = scheduler_.ended_workers_;
      if (ended == nullptr) return;
      scheduler_.ended_workers_ = ended->idle_link;
    }
    pthread_join(ended->thread, nullptr);
    scheduler_.totals_.threads_ended.fetch_add(1, std::memory_order_relaxed);
    delete ended;
  }
}

}  // namespace rt::detail
