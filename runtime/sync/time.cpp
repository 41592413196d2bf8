// Sleeping, timers, tickers.
//
// A timer with a channel is a node in the heap of the P that armed it; firing puts the time into the channel's one
// place if that is free. The race by name: *stop against a firing timer*. The node has left the heap, the callback has
// not run yet. Both take the timer's own lock; the callback compares the generation that it was armed with, so after
// stop() or reset() it does nothing, and stop() empties the channel under the same lock: no stale value is ever
// received.
//
// Two counts. `handles_` are the user's. `outstanding_`, under the lock, are what will come back to the timer: an armed
// node, whose share passes to the callback when it fires, and a green thread that sleeps for it. Whoever brings both to
// nothing deletes the timer. When the last handle goes and nobody else has the channel, nobody can ever notice the
// timer again, and it is disarmed: no stop() is owed for a timer that is thrown away.
//
// A timer with a function is a green thread that sleeps: it belongs to the task that made it and ends with it, and its
// function may block. So a slow function delays no other.
#include "rt/time.h"

#include <atomic>
#include <ctime>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>

#include "rt/context.h"
#include "rt/go.h"
#include "runtime/os/clock.h"
#include "runtime/sched/clock.h"
#include "runtime/sched/scheduler.h"
#include "runtime/sched/slack.h"
#include "runtime/sync/chan_core.h"

namespace rt {

namespace detail {

static std::int64_t saturating_add(std::int64_t when, std::int64_t length) noexcept {
  return when > no_deadline - length ? no_deadline : when + length;
}

namespace {

void add_to_heap(timer_node& node) {
  scheduler* the = the_scheduler();
  if (the == nullptr) {
    throw std::system_error(std::make_error_code(std::errc::operation_not_permitted),
                            "rt::timer: no runtime is running; arm it inside rt::run");
  }
  the->add_timer(node);
}

}  // namespace

class timer_state {
 public:
  timer_state(std::int64_t period, slack allowed) noexcept : slack_(allowed.length().count()), period_(period) {}
  timer_state(kept_function function, slack allowed) noexcept
      : slack_(allowed.length().count()), period_(0), function_(std::move(function)) {}
  timer_state(const timer_state&) = delete;
  timer_state& operator=(const timer_state&) = delete;

  void retain_handle() noexcept { handles_.fetch_add(1, std::memory_order_relaxed); }
  void release_handle() noexcept {
    // With one handle left nobody can make another one.
    bool last = handles_.load(std::memory_order_acquire) == 1;
    if (!last && handles_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
    bool unused;
    {
      os::spin_guard guard(lock_);
      has_handles_ = false;
      // A function is called all the same; and whoever has a copy of the channel goes on to receive.
      if (armed_ && !function_ && !can_be_noticed_locked()) disarm_locked();
      unused = outstanding_ == 0;
    }
    if (unused) delete this;
  }

  // The channel is made when it is asked for; before that a firing has nobody to tell, and leaves its time here. Not
  // made under the lock: that allocates.
  chan<time_point>& channel() {
    chan<time_point> fresh{nullptr};
    while (true) {
      {
        os::spin_guard guard(lock_);
        if (!channel_ && fresh) {
          channel_ = std::move(fresh);
          if (fired_at_ != 0) send_locked(fired_at_);
          fired_at_ = 0;
        }
        if (channel_) return channel_;
      }
      fresh = chan<time_point>(1);
    }
  }

  bool has_no_function() const noexcept { return !function_; }

  // For a timer that nobody else knows.
  void arm_first(std::int64_t when) RT_NO_THREAD_SAFETY_ANALYSIS {
    if (function_) {
      arm_function(when);
    } else {
      arm_locked(when);
    }
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
    if (!function_) {
      os::spin_guard guard(lock_);
      bool was_armed = disarm_locked();
      period_ = period;
      arm_locked(when);
      return was_armed;
    }
    require_green_thread("rt::timer::reset of a timer with a function");
    bool was_armed = stop();
    arm_function(when);
    return was_armed;
  }

 private:
  ~timer_state() = default;

  void retain() noexcept {
    os::spin_guard guard(lock_);
    ++outstanding_;
  }
  void release() noexcept {
    bool unused;
    {
      os::spin_guard guard(lock_);
      unused = --outstanding_ == 0 && !has_handles_;
    }
    if (unused) delete this;
  }

  bool can_be_noticed_locked() const noexcept RT_REQUIRES(lock_) {
    return has_handles_ || (channel_ && !channel_.core()->has_one_handle());
  }

  void send_locked(std::int64_t now) RT_REQUIRES(lock_) {
    if (!channel_) {
      if (fired_at_ == 0) fired_at_ = now;  // a second one would find the place taken as well
      return;
    }
    time_point value{duration(now)};
    offer(*channel_.core(), &value);
  }

  void arm_locked(std::int64_t when) RT_REQUIRES(lock_) {
    armed_ = true;
    due_ = when;
    node_.when = coalesced(when, slack_);
    node_.first = this;
    node_.second = generation_;
    node_.fire = [](void* state, std::uint64_t generation) noexcept {
      static_cast<timer_state*>(state)->fire(generation);
    };
    ++outstanding_;
    try {
      add_to_heap(node_);
    } catch (...) {
      armed_ = false;
      --outstanding_;
      throw;
    }
  }

  // Whether the value of this setting was kept from being received.
  bool disarm_locked() noexcept RT_REQUIRES(lock_) {
    bool was_armed = armed_;
    armed_ = false;
    ++generation_;
    if (was_armed && timer_heap::remove(node_)) --outstanding_;
    bool in_time = was_armed || fired_at_ != 0;  // also if it fired, as long as nobody has received the value
    fired_at_ = 0;
    if (channel_) {
      element_storage<time_point> stale;
      if (take(*channel_.core(), stale.bytes) == chan_status::ok) in_time = true;
    }
    return in_time;
  }

  void fire(std::uint64_t generation) noexcept {
    bool unused;
    {
      os::spin_guard guard(lock_);
      if (generation == generation_) {
        std::int64_t now = runtime_now();
        armed_ = false;
        send_locked(now);
        if (period_ > 0 && can_be_noticed_locked()) {
          // The next tick counts from when this one was due; ticks that were missed altogether are left out.
          std::int64_t next = saturating_add(due_, period_);
          if (next <= now) next = saturating_add(next + (now - next) / period_ * period_, period_);
          arm_locked(next);
        }
      } else if (generation == timer_node::heap_ends) {
        armed_ = false;
        ++generation_;
      }
      unused = --outstanding_ == 0 && !has_handles_;
    }
    if (unused) delete this;
  }

  void arm_function(std::int64_t when) {
    std::uint64_t mine;
    {
      os::spin_guard guard(lock_);
      armed_ = true;
      mine = generation_;
    }
    // The green thread's share of the timer; it goes with the closure, also when the start fails.
    struct share {
      timer_state* state;
      explicit share(timer_state* shared) noexcept : state(shared) { state->retain(); }
      share(const share& other) noexcept : share(other.state) {}
      share& operator=(const share&) = delete;
      ~share() { state->release(); }
    };
    try {
      rt::go([self = share(this), mine, when] { self.state->sleep_and_run(mine, when); });
    } catch (...) {
      os::spin_guard guard(lock_);
      armed_ = false;
      throw;
    }
  }

  void sleep_and_run(std::uint64_t mine, std::int64_t when) {
    green_thread* self = current_green_thread();
    while (true) {
      bool due = runtime_now() >= when;
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
      park_until(wait_reason::sleep, coalesced(when, slack_));
    }
    function_();
  }

  std::atomic<std::uint32_t> handles_{1};
  os::spin_lock lock_{os::lock_rank::timer_state};
  bool armed_ RT_GUARDED_BY(lock_) = false;
  bool has_handles_ RT_GUARDED_BY(lock_) = true;
  std::uint32_t outstanding_ RT_GUARDED_BY(lock_) = 0;
  const std::int64_t slack_;
  std::uint64_t generation_ RT_GUARDED_BY(lock_) = 0;
  std::int64_t period_ RT_GUARDED_BY(lock_);
  std::int64_t due_ RT_GUARDED_BY(lock_) = 0;  // what was asked for; the node's time may be later by the slack
  std::int64_t fired_at_ RT_GUARDED_BY(lock_) = 0;
  timer_node node_;
  chan<time_point> channel_{nullptr};
  const kept_function function_;
  green_thread* runner_ RT_GUARDED_BY(lock_) = nullptr;
};

void timer_retain(timer_state* state) noexcept { state->retain_handle(); }
void timer_release(timer_state* state) noexcept { state->release_handle(); }

void throw_no_timer() {
  throw std::logic_error(
      "rt::timer or rt::ticker: the handle refers to none; it was moved from or made without one: assign one first");
}

}  // namespace detail

time_point now() noexcept { return time_point(duration(detail::runtime_now())); }

namespace {

// The kernel thread sleeps; by the real clock, also while a test bubble runs.
void sleep_thread(std::int64_t length) noexcept {
  std::int64_t until = detail::saturating_add(os::nanotime(), length);
  timespec target{until / 1'000'000'000, until % 1'000'000'000};
  while (os::nanotime() < until) clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &target, nullptr);
}

}  // namespace

// Not in a namespace without a name, so that stacks can show it.
namespace detail {
void park_for_sleep(detail::green_thread& self, std::int64_t until, slack allowed) {
  std::int64_t wake_at = detail::coalesced(until, allowed.length().count());
  do {
    detail::throw_if_cancellation_pending(self);
    detail::park_until(detail::wait_reason::sleep, wake_at);
  } while (detail::runtime_now() < until);
  detail::throw_if_cancellation_pending(self);
}
}  // namespace detail

void sleep_for(duration length, slack allowed) {
  if (length.count() <= 0) {
    yield();
  } else if (detail::current_green_thread() == nullptr) {
    sleep_thread(length.count());
  } else {
    detail::park_for_sleep(*detail::require_green_thread("rt::sleep_for"), detail::deadline_after(length), allowed);
  }
}

void sleep_for(const context& within, duration length) {
  within.throw_if_ended();
  context_scope obey(within);
  sleep_for(length);
}

void sleep_until(const context& within, time_point when) {
  within.throw_if_ended();
  context_scope obey(within);
  sleep_until(when);
}

void sleep_until(time_point when, slack allowed) {
  std::int64_t until = when.time_since_epoch().count();
  std::int64_t current = detail::runtime_now();
  if (current >= until) {
    yield();
  } else if (detail::current_green_thread() == nullptr) {
    sleep_thread(until - current);
  } else {
    detail::park_for_sleep(*detail::require_green_thread("rt::sleep_until"), until, allowed);
  }
}

timer::timer(duration length, slack allowed) : state_(new detail::timer_state(0, allowed)) {
  state_->arm_first(detail::deadline_after(length));
}

timer::timer(duration length, detail::kept_function function, slack allowed)
    : state_(new detail::timer_state(std::move(function), allowed)) {
  detail::require_green_thread("rt::timer with a function");
  if (state_->has_no_function()) throw std::invalid_argument("rt::timer: the function is empty; give one to call");
  state_->arm_first(detail::deadline_after(length));
}

chan<time_point>& timer::channel() const { return state_->channel(); }
bool timer::stop() const { return state_->stop(); }
bool timer::reset(duration length) const { return state_->reset(detail::deadline_after(length), 0); }

namespace {

std::int64_t checked_period(duration period) {
  if (period.count() <= 0) {
    throw std::invalid_argument("rt::ticker: the period of " + std::to_string(period.count()) +
                                " ns is not positive; give at least 1 ns");
  }
  return period.count();
}

}  // namespace

ticker::ticker(duration period, slack allowed) : state_(new detail::timer_state(checked_period(period), allowed)) {
  state_->arm_first(detail::deadline_after(period));
}

chan<time_point>& ticker::channel() const { return state_->channel(); }
void ticker::stop() const { state_->stop(); }
void ticker::reset(duration period) const {
  std::int64_t checked = checked_period(period);
  state_->reset(detail::deadline_after(period), checked);
}

}  // namespace rt
