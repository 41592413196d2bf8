// How long to wait before something that ended is started again, and when to give up.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>
#include <random>

#include "daemon/config/config.h"

namespace rtd::supervisor {

/// The delay doubles from initial_delay up to max_delay as long as the ends follow each other; once a run was stable it
/// (one of at least `stable_after`) begins anew. Within `window` at most max_restarts restarts are granted (0: any
/// number).
class backoff {
 public:
  using clock = std::chrono::steady_clock;

  explicit backoff(const config::restart_settings& settings) : settings_(settings) {}

  /// Something ended at `now` after a run of `ran`. Returns the delay before its restart, or nothing when the restarts
  /// of the window are used up.
  std::optional<std::chrono::nanoseconds> next(clock::time_point now, std::chrono::nanoseconds ran);

  /// As if nothing had ever ended: after a restart by hand.
  void reset();

  /// Other settings from now on; what happened stays known.
  void configure(const config::restart_settings& settings) { settings_ = settings; }
  const config::restart_settings& settings() const { return settings_; }

 private:
  config::restart_settings settings_;
  std::deque<clock::time_point> restarts_;  // within the window
  std::uint32_t row_ = 0;                   // restarts without a stable run between them
  // Spreads the restarts of things that ended together by a fifth to either side.
  std::minstd_rand random_{std::random_device{}()};
};

}  // namespace rtd::supervisor
