// Sleeping, timers and tickers. All times are of std::chrono::steady_clock.
#pragma once

#include <chrono>
#include <functional>
#include <utility>

#include "rt/chan.h"

namespace rt {

using clock = std::chrono::steady_clock;
using duration = std::chrono::nanoseconds;
using time_point = std::chrono::time_point<clock, duration>;

/// The time now, on the clock that deadlines and timers use. About 30 ns; callable from any thread.
time_point now() noexcept;

/// Parks the calling green thread for at least `length`; a zero or negative length is a yield. Never wakes early.
/// Throws rt::cancelled. Outside a green thread the kernel thread sleeps.
void sleep_for(duration length);

/// Parks the calling green thread until `when`; a time that has passed is a yield. Throws rt::cancelled.
void sleep_until(time_point when);

namespace detail {

class timer_state;
void timer_retain(timer_state* state) noexcept;
void timer_release(timer_state* state) noexcept;

/// A counted reference to a timer.
class timer_handle {
 public:
  explicit timer_handle(timer_state* adopted) noexcept : state_(adopted) {}
  timer_handle(const timer_handle& other) noexcept : state_(other.state_) {
    if (state_ != nullptr) timer_retain(state_);
  }
  timer_handle(timer_handle&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
  timer_handle& operator=(timer_handle other) noexcept {
    std::swap(state_, other.state_);
    return *this;
  }
  ~timer_handle() {
    if (state_ != nullptr) timer_release(state_);
  }
  timer_state* operator->() const noexcept { return state_; }
  timer_state& operator*() const noexcept { return *state_; }

 private:
  timer_state* state_;
};

}  // namespace detail

/// One event in the future: a value on a channel, or a function call. A handle: copies refer to the same timer.
///
/// After stop() or reset() has returned, no value of the earlier setting is ever received. All members may be called
/// from any green thread and never block.
class timer {
 public:
  /// A timer that sends the time on channel() once, after `length`.
  explicit timer(duration length);
  /// A timer that runs `function` once, after `length`, on a green thread of the calling task that waits until then. It
  /// ends with the task. Must be called on a green thread. Errors as rt::go.
  timer(duration length, std::function<void()> function);

  /// Where the time of expiry arrives; nothing ever does for a timer with a function.
  chan<time_point>& channel() const noexcept;
  /// Disarms it. True if it was armed, so that it will not fire; false if it had fired or been stopped before.
  bool stop() const noexcept;
  /// Arms it again for `length` from now. True if it was armed before.
  bool reset(duration length) const noexcept;

 private:
  detail::timer_handle state_;
};

/// A timer that fires again and again. A slow receiver loses ticks; they do not pile up.
class ticker {
 public:
  /// Ticks each `period`. @throws std::invalid_argument when the period is not positive.
  explicit ticker(duration period);
  /// Where the times of the ticks arrive.
  chan<time_point>& channel() const noexcept;
  /// Ends the ticks. No tick is received after this has returned. The channel is not closed.
  void stop() const noexcept;
  /// Ends the ticks of the old period and begins those of the new one. @throws std::invalid_argument as the
  /// constructor.
  void reset(duration period) const;

 private:
  detail::timer_handle state_;
};

}  // namespace rt
