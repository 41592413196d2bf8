// Testing code that runs on green threads: virtual time and an order that a seed decides.
#pragma once

#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>

#include "rt/time.h"

namespace rt::test {

/// The time at which every bubble begins: 2000-01-01 00:00:00 UTC, if rt::now() is read as Unix time.
inline constexpr time_point start{std::chrono::seconds(946'684'800)};

/// All green threads of a bubble wait, and nothing will ever wake one. what() has the stacks of all of them.
class deadlock : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// How a bubble is run.
struct bubble_options {
  /// Decides whatever the scheduler is free to choose: which runnable green thread goes next, in which order those go
  /// that wait for the same moment, where one makes way for others, which of several ready cases a select takes. The
  /// same seed gives the same run.
  std::uint64_t seed = 1;
};

/// Runs `function` on the first green thread of a runtime of its own, as rt::run does, with one processor, in a time of
/// its own. rt::now(), sleeps, timers and deadlines use that time: it begins at `start`, stands still while anything
/// runs, and jumps to the next timer when all green threads wait. So a day of sleeps takes as long as the work between
/// them, and every time is exact.
///
/// When the function returns, the green threads that are left are cancelled and waited for; bubble() returns then. They
/// must not refer to what was on the function's stack (rt::scope and rt::wait_group wait for those that do). What it
/// throws is rethrown here.
///
/// Time does not jump while a green thread is in rt::blocking, looks up a name or waits for the network: such a wait
/// takes real time, and its order is not the seed's. Other threads of the process do not count: a green thread that
/// waits for one of them must do so in rt::blocking. The standard library's clocks show real time. Nothing is
/// preempted: a green thread that never waits or yields keeps the only processor. rt::max_procs cannot change it.
///
/// Blocks the calling thread, which must not be a green thread.
/// @throws rt::test::deadlock; std::logic_error and std::system_error as rt::run.
void bubble(const bubble_options& options, std::function<void()> function);
/// The same with the default seed.
void bubble(std::function<void()> function);

/// A seed with which a function failed. The function's own exception is nested in it (std::rethrow_if_nested).
class failed_seed : public std::runtime_error {
 public:
  failed_seed(std::uint64_t which, const std::string& text) : std::runtime_error(text), seed_(which) {}
  /// Give it to bubble() to have the failure again.
  std::uint64_t seed() const noexcept { return seed_; }

 private:
  std::uint64_t seed_;
};

/// Runs `function` in `count` bubbles one after the other, with the seeds `first`, `first` + 1 and so on, and gives it
/// the seed, for the messages of its own assertions. Ends at the first bubble that throws.
/// @throws rt::test::failed_seed, whose text begins with the seed
void explore(std::uint64_t count, const std::function<void(std::uint64_t seed)>& function, std::uint64_t first = 1);

}  // namespace rt::test
