// Sleeping, timers, tickers.
//
// A timer with a channel is a node in the heap of the P that armed it; firing puts the time into the channel's one
// place if that is free. The race by name: *stop against a firing timer*. The node has left the heap, the callback has
// not run yet. Both take the timer's own lock; the callback compares the generation that it was armed with, so after
// stop() or reset() it does nothing, and stop() empties the channel under the same lock: no stale value is ever
// received.
//
// An armed node owns a reference to its timer, which passes to the callback when it fires.
//
// A timer with a function is a green thread that sleeps: it belongs to the task that made it and ends with it, and its
// function may block.
#include "rt/time.h"

#include <atomic>
#include <ctime>
#include <new>
#include <stdexcept>
#include <string>

#include "rt/go.h"
#include "runtime/os/clock.h"
#include "runtime/sched/scheduler.h"
#include "runtime/sync/chan_core.h"

namespace rt {

namespace detail {

class timer_state {
 public:
  explicit timer_state(std::int64_t period) noexcept : period_(period) {}
  explicit timer_state(std::function<void()> function) noexcept : period_(0), function_(std::move(function)) {}
  timer_state(const timer_state&) = delete;
  timer_state& operator=(const timer_state&) = delete;

  void retain() noexcept { references_.fetch_add(1, std::memory_order_relaxed); }
  void release() noexcept {
    if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

  chan<time_point>& channel() {
    os::spin_guard guard(lock_);
    return channel_locked();
  }

  void arm(std::int64_t when) {
    if (function_ != nullptr) {
      arm_function(when);
      return;
    }
    os::spin_guard guard(lock_);
    arm_locked(when);
  }

  bool stop() noexcept {
    green_thread* runner = nullptr;
    bool was_armed;
    {
      os::spin_guard guard(lock_);
      was_armed = disarm_locked();
      runner = std::exchange(runner_, nullptr);
    }
    if (runner != nullptr) unpark(*runner);  // it finds that its generation is over
    return was_armed;
  }

  bool reset(std::int64_t when, std::int64_t period) {
    if (function_ == nullptr) {
      os::spin_guard guard(lock_);
      bool was_armed = disarm_locked();
      period_ = period;
      arm_locked(when);
      return was_armed;
    }
    bool was_armed = stop();
    {
      os::spin_guard guard(lock_);
      period_ = period;
    }
    arm(when);
    return was_armed;
  }

 private:
  ~timer_state() = default;

  // The channel is made when it is asked for; before that a firing has nobody to tell, and leaves its time here.
  chan<time_point>& channel_locked() RT_REQUIRES(lock_) {
    if (!channel_) {
      channel_ = chan<time_point>(1);
      if (fired_at_ != 0) send_locked(fired_at_);
      fired_at_ = 0;
    }
    return channel_;
  }

  void send_locked(std::int64_t now) RT_REQUIRES(lock_) {
    if (!channel_) {
      fired_at_ = now;
      return;
    }
    time_point value{duration(now)};
    offer(*channel_.core(), &value);
  }

  void arm_locked(std::int64_t when) RT_REQUIRES(lock_) {
    armed_ = true;
    node_.when = when;
    node_.first = this;
    node_.second = generation_;
    node_.fire = [](void* state, std::uint64_t generation) noexcept {
      static_cast<timer_state*>(state)->fire(generation);
    };
    retain();
    heap_for_caller().add(node_);
  }

  bool disarm_locked() noexcept RT_REQUIRES(lock_) {
    bool was_armed = armed_;
    armed_ = false;
    ++generation_;
    if (timer_heap::remove(node_)) references_.fetch_sub(1, std::memory_order_relaxed);  // the caller holds another
    fired_at_ = 0;
    if (channel_) {
      element_storage<time_point> stale;
      take(*channel_.core(), stale.bytes);
    }
    return was_armed;
  }

  void fire(std::uint64_t generation) noexcept {
    {
      os::spin_guard guard(lock_);
      if (generation == generation_) {
        std::int64_t now = os::nanotime();
        armed_ = false;
        send_locked(now);
        if (period_ > 0) {
          // The next tick counts from when this one was due; ticks that were missed altogether are left out.
          std::int64_t next = node_.when + period_;
          if (next <= now) next += (now - next) / period_ * period_ + period_;
          arm_locked(next);
        }
      }
    }
    release();
  }

  void arm_function(std::int64_t when) {
    std::uint64_t mine;
    {
      os::spin_guard guard(lock_);
      armed_ = true;
      mine = generation_;
    }
    retain();
    try {
      rt::go([self = timer_handle(this), mine, when] { self->sleep_and_run(mine, when); });
    } catch (...) {
      os::spin_guard guard(lock_);
      armed_ = false;
      throw;
    }
  }

  void sleep_and_run(std::uint64_t mine, std::int64_t when) {
    green_thread* self = current_green_thread();
    while (true) {
      bool due = os::nanotime() >= when;
      {
        os::spin_guard guard(lock_);
        if (generation_ != mine) return;
        if (due || cancellation_pending(*self)) {
          armed_ = false;
          runner_ = nullptr;
        } else {
          runner_ = self;
        }
      }
      throw_if_cancellation_pending(*self);
      if (due) break;
      park_until(wait_reason::sleep, when);
    }
    function_();
  }

  static timer_heap& heap_for_caller() noexcept {
    worker* self = current_worker();
    return self != nullptr && self->p != nullptr ? self->p->timers : the_scheduler()->proc(0).timers;
  }

  std::atomic<std::uint32_t> references_{1};
  os::spin_lock lock_{os::lock_rank::timer_state};
  bool armed_ RT_GUARDED_BY(lock_) = false;
  std::uint64_t generation_ RT_GUARDED_BY(lock_) = 0;
  std::int64_t period_ RT_GUARDED_BY(lock_);
  std::int64_t fired_at_ RT_GUARDED_BY(lock_) = 0;
  timer_node node_;
  chan<time_point> channel_{nullptr};
  const std::function<void()> function_;
  green_thread* runner_ RT_GUARDED_BY(lock_) = nullptr;
};

void timer_retain(timer_state* state) noexcept { state->retain(); }
void timer_release(timer_state* state) noexcept { state->release(); }

}  // namespace detail

time_point now() noexcept { return time_point(duration(os::nanotime())); }

void sleep_for(duration length) {
  if (length.count() <= 0) {
    yield();
    return;
  }
  sleep_until(time_point(duration(detail::deadline_after(length))));
}

void sleep_until(time_point when) {
  std::int64_t until = when.time_since_epoch().count();
  detail::green_thread* self = detail::current_green_thread();
  if (self == nullptr) {
    timespec target{until / 1'000'000'000, until % 1'000'000'000};
    while (os::nanotime() < until) clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &target, nullptr);
    return;
  }
  detail::require_green_thread("rt::sleep_for");
  if (os::nanotime() >= until) {
    yield();
    return;
  }
  do {
    detail::throw_if_cancellation_pending(*self);
    detail::park_until(detail::wait_reason::sleep, until);
  } while (os::nanotime() < until);
  detail::throw_if_cancellation_pending(*self);
}

timer::timer(duration length) : state_(new detail::timer_state(0)) { state_->arm(detail::deadline_after(length)); }

timer::timer(duration length, std::function<void()> function) : state_(new detail::timer_state(std::move(function))) {
  detail::require_green_thread("rt::timer with a function");
  state_->arm(detail::deadline_after(length));
}

chan<time_point>& timer::channel() const noexcept { return state_->channel(); }
bool timer::stop() const noexcept { return state_->stop(); }
bool timer::reset(duration length) const noexcept { return state_->reset(detail::deadline_after(length), 0); }

namespace {

std::int64_t checked_period(duration period) {
  if (period.count() <= 0) {
    throw std::invalid_argument("rt::ticker: the period of " + std::to_string(period.count()) +
                                " ns is not positive; give at least 1 ns");
  }
  return period.count();
}

}  // namespace

ticker::ticker(duration period) : state_(new detail::timer_state(checked_period(period))) {
  state_->arm(detail::deadline_after(period));
}

chan<time_point>& ticker::channel() const noexcept { return state_->channel(); }
void ticker::stop() const noexcept { state_->stop(); }
void ticker::reset(duration period) const {
  std::int64_t checked = checked_period(period);
  state_->reset(detail::deadline_after(period), checked);
}

}  // namespace rt
