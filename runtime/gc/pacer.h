// When the next cycle begins, and how much those that allocate must help it.
//
// Source: the design of Go's pacer (runtime/mgcpacer.go, proposals 44167 and 48409). The heap may grow from what the
// last cycle found live to a goal, which is `percent` above what had to be looked at. A cycle begins so early (the
// trigger) that marking beside the program, with a quarter of the CPUs, is over when the heap has reached the goal: the
// distance, or runway, follows from how many bytes were allocated for each byte looked into in the last five cycles. If
// that was wrong, whoever allocates helps: for each byte so much work that both ends meet at the goal.
//
// A memory limit lowers the goal so that heap and everything else fit, but never below what is live.
//
// It is plain arithmetic without clocks and threads, so a simulation can drive it (tests/runtime/gc/pacer_test.cpp).
// Several threads may read what it has computed; whoever changes it holds a lock of his own.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

namespace rt::detail {

/// The part of all Ps' CPU time that marking beside the program takes: Go's.
inline constexpr double background_share = 0.25;
/// The least goal at 100 percent, in bytes: Go's.
inline constexpr std::uint64_t least_heap = 4 << 20;
inline constexpr int percent_off = -1;

/// Memory that is not the heap's live part, for the limit. In bytes.
struct memory_use {
  std::uint64_t mapped = 0;     // all that the runtime has from the system, and that is backed by memory
  std::uint64_t heap_used = 0;  // slots and large objects in use
  std::uint64_t heap_free = 0;  // of the mapped: free pages and slots
};

class pacer {
 public:
  constexpr pacer() noexcept = default;

  /// @param percent how much the heap may grow, at least 0; percent_off: only a memory limit begins cycles.
  void set_percent(int percent) noexcept {
    percent_ = percent < 0 ? percent_off : percent;
    commit();
  }
  int percent() const noexcept { return percent_; }
  /// @param bytes UINT64_MAX: none.
  void set_memory_limit(std::uint64_t bytes) noexcept { limit_ = bytes; }
  std::uint64_t memory_limit() const noexcept { return limit_; }
  void set_memory_use(const memory_use& use) noexcept { use_ = use; }

  // --- while no cycle is under way --------------------------------------------------------------------------------
  /// How large the heap may become, in bytes.
  std::uint64_t goal() const noexcept;
  /// At what size of the heap the next cycle begins.
  std::uint64_t trigger() const noexcept;

  // --- a cycle ----------------------------------------------------------------------------------------------------
  /// @param live bytes of the heap now; @param scannable of them, those that are looked into.
  void begin_cycle(std::uint64_t live, std::uint64_t scannable, std::uint64_t stack_bytes,
                   std::uint64_t global_bytes) noexcept;
  struct progress {
    std::uint64_t allocated = 0;  // since the last call, in bytes
    std::uint64_t allocated_scannable = 0;
    std::uint64_t heap_scanned = 0;
    std::uint64_t stack_scanned = 0;
    std::uint64_t globals_scanned = 0;
  };
  void advance(const progress& since) noexcept;
  /// How many bytes are to be looked into for each byte that is allocated.
  double assist_ratio() const noexcept { return assist_ratio_.load(std::memory_order_relaxed); }
  /// @param marked bytes found live, what was allocated meanwhile included.
  /// @param assist_time, duration in nanoseconds; the former of all Ps together.
  /// @param idle_time of marking on Ps that had nothing else to do.
  void end_cycle(std::uint64_t marked, std::int64_t assist_time, std::int64_t idle_time, std::int64_t duration,
                 int procs) noexcept;

  std::uint64_t live() const noexcept { return live_; }
  std::uint64_t marked() const noexcept { return marked_; }
  std::uint64_t triggered() const noexcept { return triggered_; }
  double cons_mark() const noexcept { return cons_mark_; }

 private:
  static constexpr std::uint64_t not_triggered = UINT64_MAX;

  void commit() noexcept;
  void revise() noexcept;
  std::uint64_t limit_goal() const noexcept;
  struct goal_and_least {
    std::uint64_t goal;
    std::uint64_t least_trigger;
  };
  goal_and_least bounds() const noexcept;

  int percent_ = 100;
  std::uint64_t limit_ = UINT64_MAX;
  memory_use use_;

  std::uint64_t marked_ = 0;  // by the last cycle
  std::uint64_t live_ = 0;
  std::uint64_t scannable_ = 0;
  std::uint64_t triggered_ = not_triggered;
  std::uint64_t percent_goal_ = least_heap;
  std::uint64_t runway_ = 0;

  // Work of the cycle that is under way, and of the last one.
  std::uint64_t heap_work_ = 0;
  std::uint64_t stack_work_ = 0;
  std::uint64_t global_work_ = 0;
  std::uint64_t last_heap_work_ = 0;
  std::uint64_t last_stack_work_ = 0;
  std::uint64_t most_stack_ = 0;
  std::uint64_t globals_ = 0;

  double cons_mark_ = 0;  // bytes allocated for each byte looked into, each by CPU time
  std::array<double, 4> last_cons_mark_{};
  std::atomic<double> assist_ratio_{0};
};

/// Keeps the collector below half of the CPU time, whatever the pacer wants: a bucket that its time fills and the
/// program's time empties. While it is full nobody helps, and the heap grows beyond its goal or limit instead.
class cpu_limiter {
 public:
  /// One second of CPU time for each P: Go's.
  static constexpr std::int64_t capacity_of_proc = 1'000'000'000;

  /// @param now steady clock, ns.
  void reset(std::int64_t now, int procs) noexcept;
  /// The collector has used so much CPU time, ns, since the last call; the program the rest of all Ps' until `now`.
  void update(std::int64_t now, std::int64_t collector_time) noexcept;
  void set_procs(std::int64_t now, int procs) noexcept;
  bool is_limiting() const noexcept { return limiting_; }
  std::int64_t fill() const noexcept { return fill_; }
  std::int64_t capacity() const noexcept { return capacity_of_proc * procs_; }
  /// CPU time that did not fit any more, so far.
  std::int64_t overflow() const noexcept { return overflow_; }

 private:
  int procs_ = 1;
  std::int64_t last_ = 0;
  std::int64_t fill_ = 0;
  std::int64_t overflow_ = 0;
  bool limiting_ = false;
};

}  // namespace rt::detail
