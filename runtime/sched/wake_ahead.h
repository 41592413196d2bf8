// How much before a timer's time the M in the poller asks the kernel to wake it.
//
// From the moment that a timed wait is over to the moment that the thread runs, an idle CPU takes 5 to 30 us (the
// timer's interrupt, leaving the idle state, the switch; 14 us measured on a virtual machine, where the slack of the
// thread's timers is 1 ns already). That is learned from each wait, and asked for in advance. A wait that is over early
// is spun away; since the estimate follows the shortest latencies and not their mean, that is a microsecond as a rule,
// and it is never more than `longest`.
#pragma once

#include <cstdint>

namespace rt::detail {

class wake_ahead {
 public:
  /// How much before the deadline a wait is to end, in nanoseconds.
  std::int64_t lead() const noexcept { return lead_; }

  /// A wait that was to end at `asked` ended at `ended`, by itself.
  void observe(std::int64_t asked, std::int64_t ended) noexcept {
    std::int64_t late = ended - asked;
    // Down fast, up slowly: the lower edge of what is seen. A wait that was preempted says nothing.
    if (late < lead_) {
      lead_ -= (lead_ - late) / 4;
    } else if (late < 4 * longest) {
      lead_ += (late - lead_) / 32;
    }
    if (lead_ > longest) lead_ = longest;
    if (lead_ < 0) lead_ = 0;
  }

 private:
  // In nanoseconds: the most that may be spun before a deadline when the kernel is faster than ever before.
  static constexpr std::int64_t longest = 20'000;
  std::int64_t lead_ = 0;
};

}  // namespace rt::detail
