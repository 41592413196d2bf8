// Shared memory in the model: a line costs nothing extra to the core that has it, and its way to any other. Requests
// for one line are served one after the other, which is what makes a contended word slow.
#pragma once

#include <algorithm>
#include <bitset>

#include "bench/simulation/costs.h"

namespace bench_simulation {

constexpr int most_cores = 256;

/// What a line costs on its way from one core to another.
inline double distance(const costs& price, int from, int to) noexcept {
  if (from / price.group_cores == to / price.group_cores) return price.same_group;
  return from / price.socket_cores == to / price.socket_cores ? price.same_socket : price.other_socket;
}

class cache_line {
 public:
  /// `core` reads the line at `now`. Returns the time that this takes beyond a look into the own cache.
  double read(const costs& price, int core, double now) {
    const auto self = static_cast<unsigned>(core);
    if (holders_[self] || last_writer_ < 0) {
      holders_.set(self);
      return 0;
    }
    const double time = serve(now, distance(price, last_writer_, core));
    holders_.set(self);
    return time;
  }
  /// As read, for a store or an atomic instruction: nobody else has the line afterwards.
  double write(const costs& price, int core, double now) {
    const auto self = static_cast<unsigned>(core);
    if (last_writer_ == core && holders_.count() == 1) return 0;
    double farthest = 0;
    if (last_writer_ >= 0 && !holders_[self]) farthest = distance(price, last_writer_, core);
    for (int other = 0; other < most_cores; ++other) {
      if (other != core && holders_[static_cast<unsigned>(other)])
        farthest = std::max(farthest, distance(price, other, core));
    }
    const double time = farthest == 0 ? 0 : serve(now, farthest);
    holders_.reset();
    holders_.set(self);
    last_writer_ = core;
    return time;
  }

 private:
  double serve(double now, double time) {
    const double begin = std::max(now, free_at_);
    free_at_ = begin + time;
    return free_at_ - now;
  }

  std::bitset<most_cores> holders_;
  int last_writer_ = -1;
  double free_at_ = 0;
};

}  // namespace bench_simulation
