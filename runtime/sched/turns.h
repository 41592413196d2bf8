// Whose turn it is on a P: how those that a P has already, those that wake each other and those of the global queue
// divide its time. Only the owner of the P uses what is here; all moments are of os::cycles(), lengths are cycles.
//
// Counting decisions is cheap and bounds how long one waits behind many short slices. Alone it is unfair where slices
// differ: 64 slices of a microsecond stand beside 64 of a millisecond. So turns are counted in time as well.
//
// *Chains*. Green threads that wake each other go through runnext, one after the other; together they are one chain,
// which has one turn: most_runnext_in_a_row decisions, and not more than `longest` of time. Then the chain goes to the
// end of the ring. A chain whose slices are short may go on for longer if another chain had a long turn since its own
// last one: for half of what that one took. So of two chains that both want the P for ever, neither gets less than a
// quarter of what the other one gets (half, and lengths are kept as powers of two), as long as its slices are shorter
// than that. Half, and not all, so that turns become short again: when nobody's decisions take long any more, the
// longest turn halves with each round.
//
// What counts as long is a turn of `shortest_long` and more, without its longest part between two looks at the clock.
// A turn that is short but for one interruption, in which the kernel ran something else, is so never taken for a long
// one. A turn that is a single long slice counts as short for the same reason; such slices end by preemption, after
// which the green thread comes back by way of the global queue.
//
// *The global queue*. What is taken out of it may be a loop that takes a whole slice and comes back the same way.
// Counted in decisions alone, it would get a slice for every 61 switches of those that the P had already. So they get,
// from when it was left, as much time as it took, but at most a slice, however long the kernel kept the M off its CPU.
//
// Rejected: comparing a chain's turn with the turn before it on the P, whose ever that was. It may be the chain's own:
// one that was interrupted once went on having long turns, and the others of the ring waited. The CPU clock of the
// thread would tell interruptions exactly, but it costs 0.3 us at both ends of a turn that takes 4 us.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

namespace rt::detail {

/// The turn of a chain of green threads that wake each other.
class chain_turn {
 public:
  /// A look of the P at the clock, when runnext went first `streak` times in a row. True when the turn has taken
  /// `longest` and is to end now.
  bool look(std::uint64_t now, std::uint8_t streak, std::uint64_t longest, double cycles_per_nanosecond) noexcept {
    if (streak < seen_streak_) {  // it ended by itself
      keep(last_look_, cycles_per_nanosecond);
      allowed_ = 0;
      start(now);
    } else if (streak == 0) {
      start(now);  // the ring had its turn since the last look
    }
    note_part(now);
    bool over = passed(started_, now) > longest;
    seen_streak_ = over ? UINT8_MAX : streak;
    return over;
  }

  /// One that was put at the end of the ring at `since`, when its chain's last turn ended, is taken out.
  void begin(std::uint64_t now, std::uint64_t since, double cycles_per_nanosecond) noexcept {
    start(now);
    seen_streak_ = 0;
    allowed_ = 0;
    for (std::size_t i = lengths; i-- > 0;) {
      if (last_of_length_[i] <= since) continue;
      allowed_ = static_cast<std::uint64_t>(static_cast<double>(shortest_long << i) / 2 * cycles_per_nanosecond);
      break;
    }
  }

  /// The chain has had the decisions of a turn while others wait: whether it goes on, because they had more time. If
  /// not, its turn is over.
  bool goes_on(std::uint64_t now, double cycles_per_nanosecond) noexcept {
    note_part(now);
    if (passed(started_, now) < allowed_) {
      seen_streak_ = 1;
      return true;
    }
    keep(now, cycles_per_nanosecond);
    start(now);
    seen_streak_ = 0;
    allowed_ = 0;
    return false;
  }

 private:
  // In nanoseconds; more than 64 switches take (some 4 us), less than what would be noticed.
  static constexpr std::uint64_t shortest_long = std::uint64_t{1} << 16;
  // From 65 us to 8.4 ms and more, which is a slice.
  static constexpr std::size_t lengths = 8;

  // Cores may differ by some cycles.
  static std::uint64_t passed(std::uint64_t from, std::uint64_t to) noexcept { return to > from ? to - from : 0; }
  void start(std::uint64_t now) noexcept {
    started_ = last_look_ = now;
    longest_part_ = 0;
  }
  void note_part(std::uint64_t now) noexcept {
    if (passed(last_look_, now) > longest_part_) longest_part_ = passed(last_look_, now);
    last_look_ = now;
  }
  // The turn ended at `ended`.
  void keep(std::uint64_t ended, double cycles_per_nanosecond) noexcept {
    auto length = static_cast<std::uint64_t>(static_cast<double>(passed(started_ + longest_part_, ended)) /
                                             cycles_per_nanosecond);
    if (length < shortest_long) return;
    auto place = static_cast<std::size_t>(std::bit_width(length / shortest_long) - 1);
    last_of_length_[place < lengths ? place : lengths - 1] = ended;
  }

  std::uint64_t started_ = 0;
  std::uint64_t last_look_ = 0;
  std::uint64_t longest_part_ = 0;  // of the turn, between two looks
  std::uint64_t allowed_ = 0;       // what the turn may take, whatever its number of decisions
  std::uint8_t seen_streak_ = 0;    // at the last look
  // When a turn that took from shortest_long * 2^i to twice as long last ended.
  std::array<std::uint64_t, lengths> last_of_length_{};
};

/// The turn of those of the global queue, between those of what the P has already.
class global_turn {
 public:
  /// One was taken out of the global queue.
  void begin(std::uint64_t now) noexcept { began_ = now; }
  /// The next look at the clock: what was taken out has made way, or waits with the P's own by now.
  void end(std::uint64_t now, std::uint64_t longest) noexcept {
    if (began_ == 0) return;
    std::uint64_t took = now > began_ ? now - began_ : 0;  // cores may differ by some cycles
    not_before_ = now + (took < longest ? took : longest);
    began_ = 0;
  }
  /// Whether those of the global queue may go before the P's own again.
  bool is_due(std::uint64_t now) const noexcept { return now >= not_before_; }

 private:
  std::uint64_t began_ = 0;  // until the next look; then 0
  std::uint64_t not_before_ = 0;
};

}  // namespace rt::detail
