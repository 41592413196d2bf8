// The model checker's face for tests: bodies that are run in many orders, and with the values that the C++ memory model
// allows, all within bounds. The essay is at the head of explorer.cpp.
//
// A body is an ordinary function. It runs again and again, so it must do the same each time but for the scheduling: no
// clock, no random number, no state that survives it. Everything that it and the code under test touch is watched,
// because both are compiled with the compiler's instrumentation for race detectors (see instrument.cpp).
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <type_traits>
#include <vector>

namespace rt_model {

struct options {
  /// How often an execution may take the processor from a thread that could go on; negative: any number.
  int preemptions = -1;
  /// Leave out executions that differ by the order of independent steps only. False for tests of the checker itself.
  bool reduction = true;
  /// A store may take an earlier place in the modification order than one that was executed before it (as Arm and Power
  /// do; the outcome of 2+2W).
  bool early_stores = false;
  /// No execution of the model lets a load read a store that it has itself brought about (load buffering); C++ does, if
  /// the two are not ordered by happens-before. With this, such a pair is a failure.
  bool refuse_load_buffering = false;
  /// Spurious failures of compare_exchange_weak in one execution.
  int spurious_failures = 1;
  /// How often in a row a thread may read from a location without reading its newest store.
  int stale_reads = 4;
  /// Steps of an execution; more are a livelock.
  int most_steps = 3000;
  /// Gives up after so many executions; outcome::complete is then false.
  std::uint64_t most_executions = 1'000'000;
};

struct outcome {
  bool failed = false;
  bool complete = false;  // everything within the bounds was executed
  std::string what;       // the failure and the execution that shows it
  std::uint64_t executions = 0;
  std::uint64_t redundant = 0;  // begun, and left because an equivalent one was executed already
  double seconds = 0;
};

/// Explores; stops at the first failure. With RT_MODEL_BUDGET set (seconds), random executions follow for that long.
/// With RT_MODEL_REPLAY=NAME:NUMBER (or NAME:seedNUMBER) it ends after that execution, and shows it.
outcome explore(const std::string& name, const options& bounds, const std::function<void()>& body);

/// As explore, in a process of its own: what the failing execution leaves behind is gone with it.
outcome explore_apart(const std::string& name, const options& bounds, const std::function<void()>& body);

/// Weakens the memory orders of the code under test, one at a time: each one stronger than relaxed at each line of
/// `file` (the end of its path) that the body executes, and splits each read-modify-write into a load and a store.
/// Returns a line for each change that no execution shows to be wrong, and prints a table of all.
/// The text of a line is "ORDER -> ORDER: SOURCE LINE".
std::vector<std::string> surviving_mutations(const std::string& name, const options& bounds,
                                             const std::function<void()>& body, const std::vector<std::string>& files);

// ---- for bodies
// -------------------------------------------------------------------------------------------------------

/// Starts a thread.
void thread(std::function<void()> body);
/// Waits for all threads; for the body itself.
void join();
/// Any of 0 … count - 1: each is executed.
int choose(int count);
/// Ends the execution as a failure.
[[noreturn]] void fail(const std::string& what);
/// Fails unless it holds.
inline void require(bool holds, const char* what) {
  if (!holds) fail(what);
}
/// A barrier on all threads of the execution, as the system call membarrier makes.
void barrier();
/// A name for traces.
void name(const volatile void* address, const std::string& text);
/// True on a thread of an execution.
bool in_execution() noexcept;

/// While one exists, what runs belongs to the test and not to the code under test: it is not watched, and its memory
/// is not the execution's, so what it keeps survives.
class unwatched {
 public:
  unwatched() noexcept;
  ~unwatched();
  unwatched(const unwatched&) = delete;
  unwatched& operator=(const unwatched&) = delete;
};

/// Blocks until the newest value satisfies the condition, as a futex or a semaphore would; the last step is an acquire
/// load of it. A thread that stays blocked when nobody else can go on is a deadlock.
void block_until(const volatile void* word, std::size_t size,
                 bool (*condition)(std::uint64_t value, std::uint64_t data), std::uint64_t data);
template <class Value>
std::uint64_t bits_of(Value value) noexcept {
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  return bits;
}
template <class Value>
void wait_for(const std::atomic<Value>& word, std::type_identity_t<Value> value) {
  block_until(
      &word, sizeof word, [](std::uint64_t now, std::uint64_t wanted) { return now == wanted; }, bits_of<Value>(value));
}
template <class Value>
void wait_while(const std::atomic<Value>& word, std::type_identity_t<Value> value) {
  block_until(
      &word, sizeof word, [](std::uint64_t now, std::uint64_t unwanted) { return now != unwanted; },
      bits_of<Value>(value));
}

}  // namespace rt_model
