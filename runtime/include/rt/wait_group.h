// Waiting for a number of things to be done.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <tuple>
#include <type_traits>
#include <utility>

#include "rt/go.h"
#include "rt/wait_list.h"

namespace rt {

class context;

/// Waits for a number of things to be done.
class wait_group {
 public:
  constexpr wait_group() noexcept = default;
  wait_group(const wait_group&) = delete;
  wait_group& operator=(const wait_group&) = delete;

  /// Adds `count` (which may be negative) to the counter; at zero all waiters go on. Making the counter negative is an
  /// rt::usage_error, which fails the task; the counter stays as it was. Any thread may call it. Never blocks.
  void add(std::int64_t count = 1) noexcept;
  /// add(-1).
  void done() noexcept { add(-1); }
  /// Blocks until the counter is zero; returns at once when it is. Throws rt::cancelled.
  void wait();
  /// As wait, until `within` ends. @throws rt::context_error then, also when it has ended before.
  void wait(const context& within);
  /// As wait, up to `length` from now: false if the counter was not zero in time.
  bool wait_for(std::chrono::nanoseconds length);
  /// As wait, up to `deadline` (steady clock): false if the counter was not zero in time.
  bool wait_until(std::chrono::steady_clock::time_point deadline);
  /// add(1), and `function(arguments...)` on a new green thread with done() at its end, however it ends. The wait group
  /// must outlive the green thread.
  template <class Function, class... Arguments>
  void go(Function&& function, Arguments&&... arguments) {
    add(1);
    try {
      rt::go([this, function = std::decay_t<Function>(std::forward<Function>(function)),
              arguments = std::tuple<std::decay_t<Arguments>...>(std::forward<Arguments>(arguments)...)]() mutable {
        struct done_at_end {
          wait_group* group;
          ~done_at_end() { group->done(); }
        } at_end{this};
        std::apply(std::move(function), std::move(arguments));
      });
    } catch (...) {
      done();
      throw;
    }
  }

 private:
  bool is_done() noexcept;
  bool wait_until_deadline(std::int64_t deadline);
  void wake_waiters() noexcept;

  std::atomic<std::int64_t> count_{0};
  detail::wait_list waiters_;
};

}  // namespace rt
