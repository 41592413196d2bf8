// Sleeping, timers and tickers. All times are of std::chrono::steady_clock.
#pragma once

#include <chrono>
#include <utility>

#include "rt/chan.h"
#include "rt/kept.h"

namespace rt {

using clock = std::chrono::steady_clock;
using duration = std::chrono::nanoseconds;
using time_point = std::chrono::time_point<clock, duration>;

/// The time now, on the clock that deadlines and timers use. About 30 ns; callable from any thread.
time_point now() noexcept;

/// How much later than asked for something may happen. Whatever may happen within a common span of time is done at one
/// moment, with one wake-up of the CPU, also by runtimes of other processes: a slack of 1 s lets a thousand timers of a
/// period of 10 s wake it about ten times in that period instead of a thousand times.
class slack {
 public:
  /// No slack: as soon as possible after the time asked for.
  constexpr slack() noexcept = default;
  /// A negative length is none.
  constexpr explicit slack(duration length) noexcept : length_(length.count() < 0 ? duration(0) : length) {}
  constexpr duration length() const noexcept { return length_; }

 private:
  duration length_{0};
};

/// Parks the calling green thread for at least `length`; a zero or negative length is a yield. Never wakes early, and
/// at most `allowed` later than otherwise. A length beyond the end of time (292 years) never ends. Throws
/// rt::cancelled. Outside a green thread the kernel thread sleeps.
void sleep_for(duration length, slack allowed = {});

/// Parks the calling green thread until `when`; a time that has passed is a yield. `allowed` and errors as sleep_for.
void sleep_until(time_point when, slack allowed = {});

/// As sleep_for and sleep_until, until `within` ends. Must be called on a green thread. @throws rt::context_error then,
/// also when it has ended before.
void sleep_for(const context& within, duration length);
void sleep_until(const context& within, time_point when);

namespace detail {

class timer_state;
void timer_retain(timer_state* state) noexcept;
void timer_release(timer_state* state) noexcept;
[[noreturn]] void throw_no_timer();

/// A counted reference to a timer, or to none.
class timer_handle {
 public:
  timer_handle() noexcept = default;
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
  /// @throws std::logic_error when there is none
  timer_state* operator->() const {
    if (state_ == nullptr) throw_no_timer();
    return state_;
  }

 private:
  timer_state* state_ = nullptr;
};

}  // namespace detail

/// One event in the future: a value on a channel, or a function call. A handle: copies refer to the same timer.
///
/// After stop() or reset() has returned, no value of the earlier setting is ever received. A zero or negative length
/// fires at once; one beyond the end of time (292 years) never does. A timer with a channel that neither a handle nor a
/// copy of the channel refers to any more is gone, armed or not; one with a function runs it all the same.
///
/// All members may be called from any thread while a runtime runs, and never block. On a handle without a timer (made
/// without one, or moved from) they throw std::logic_error.
class timer {
 public:
  /// No timer: a place to which one is assigned later.
  timer() noexcept = default;
  /// A timer that sends the time on channel() once, after `length`, and at most `allowed` later than otherwise.
  /// @throws std::system_error when no runtime runs
  explicit timer(duration length, slack allowed = {});
  /// A timer that runs `function` once, after `length`, on a green thread of the calling task that waits until then. It
  /// ends with the task. Must be called on a green thread. Errors as rt::go.
  timer(duration length, detail::kept_function function, slack allowed = {});

  /// Where the time of expiry arrives; nothing ever does for a timer with a function.
  chan<time_point>& channel() const;
  /// Disarms it. True if that was in time: the function will not run, nobody has received the value or ever will. False
  /// if its value was received, its function has begun, or it was stopped before.
  bool stop() const;
  /// Arms it again for `length` from now, with the slack that it was made with. Whether that was in time for the
  /// earlier setting, as for stop(). A timer with a function must be reset on a green thread: the function then runs on
  /// one of that task. Errors as rt::go.
  bool reset(duration length) const;

 private:
  detail::timer_handle state_;
};

/// A timer that fires again and again. A slow receiver loses ticks; they do not pile up. Handles, threads and errors as
/// for rt::timer.
class ticker {
 public:
  /// No ticker: a place to which one is assigned later.
  ticker() noexcept = default;
  /// Ticks each `period`, each tick at most `allowed` later than otherwise; a late tick does not delay the next ones.
  /// @throws std::invalid_argument when the period is not positive; std::system_error when no runtime runs
  explicit ticker(duration period, slack allowed = {});
  /// Where the times of the ticks arrive.
  chan<time_point>& channel() const;
  /// Ends the ticks. No tick is received after this has returned. The channel is not closed.
  void stop() const;
  /// Ends the ticks of the old period and begins those of the new one. @throws std::invalid_argument as the
  /// constructor.
  void reset(duration period) const;

 private:
  detail::timer_handle state_;
};

}  // namespace rt
