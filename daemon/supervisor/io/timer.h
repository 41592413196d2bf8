// A timer of the supervisor's loop.
#pragma once

#include <chrono>
#include <functional>
#include <memory>

#include "daemon/supervisor/io/loop.h"

namespace rtd::supervisor {

class timer {
 public:
  explicit timer(loop& on);
  ~timer();
  timer(timer&&) noexcept;
  timer& operator=(timer&&) noexcept;

  /// Runs `action` once, after `delay`. What was set before is cancelled.
  void start(std::chrono::nanoseconds delay, std::function<void()> action);
  void cancel();
  bool running() const noexcept;
  /// When it runs; meaningful while running().
  clock::time_point due() const noexcept;

 private:
  struct state;
  std::shared_ptr<state> state_;
};

}  // namespace rtd::supervisor
