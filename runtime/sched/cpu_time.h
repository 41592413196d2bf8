// CPU time: whose time runs on a P, and how much of it was really spent on a CPU.
//
// Time is charged to groups in cycles when a P changes from one group to another, goes idle, or chooses by weight; not
// at each switch, which costs less than reading the counter. The cycle counter runs on while the kernel runs another
// process on the CPU of an M, or while the M sleeps in a system call that nothing announced. So an M compares what it
// charged with its own CPU clock whenever it has charged check_after, and deducts the difference from what is charged
// next. One call of 0.3 us a millisecond: groups that share a P get the deduction in the parts in which they run, on
// average.
//
// The slice that runs on a P when somebody asks counts with what the CPU clock of its M says, which any thread can
// read.
//
// Rejected: the thread's CPU clock at each change of group (0.3 us against 13 ns).
#pragma once

#include <ctime>

#include <atomic>
#include <cstdint>

namespace rt::detail {

struct group;

/// The group whose time runs on a P. Written by the P's owner; read by anyone, under a sequence counter, so that a
/// reader never counts a slice twice or not at all while it moves from here to the group's shard.
class running_group {
 public:
  group* get() const noexcept { return group_.load(std::memory_order_relaxed); }
  std::uint64_t since() const noexcept { return since_.load(std::memory_order_relaxed); }

  /// Owner only: adds `spent` to `charged`, the shard of the group that ran (null: none did), and starts `next` at
  /// `now`, when the CPU clock of the owner's M stood at about `cpu_then` nanoseconds.
  void move_on(group* next, std::uint64_t now, std::int64_t cpu_then, std::atomic<std::uint64_t>* charged,
               std::uint64_t spent) noexcept {
    // The stores are releases and the loads of read() acquires, so that whoever reads one of them sees the counter odd
    // or changed.
    std::uint32_t sequence = sequence_.load(std::memory_order_relaxed);
    sequence_.store(sequence + 1, std::memory_order_relaxed);
    if (charged != nullptr) {
      charged->store(charged->load(std::memory_order_relaxed) + spent, std::memory_order_release);
    }
    group_.store(next, std::memory_order_release);
    since_.store(now, std::memory_order_release);
    cpu_then_.store(cpu_then, std::memory_order_release);
    sequence_.store(sequence + 2, std::memory_order_release);
  }

  /// The M whose CPU clock counts from now on. Owner only.
  void run_on(clockid_t cpu_clock) noexcept { cpu_clock_.store(cpu_clock, std::memory_order_release); }

  /// How many of `passed` cycles since since() the owner's M spent on a CPU. Any thread while there is an owner.
  std::uint64_t spent_on_cpu(std::uint64_t passed) const noexcept {
    return on_cpu(passed, cpu_then_.load(std::memory_order_relaxed), cpu_clock_.load(std::memory_order_relaxed));
  }

  /// `charged`, which is the shard of `wanted` on this P, and the time of the slice that runs if it is of that group.
  std::uint64_t read(const group& wanted, const std::atomic<std::uint64_t>& charged) const noexcept;

 private:
  static std::uint64_t on_cpu(std::uint64_t passed, std::int64_t cpu_then, clockid_t cpu_clock) noexcept;

  std::atomic<std::uint32_t> sequence_{0};  // odd while move_on is under way
  std::atomic<group*> group_{nullptr};
  std::atomic<std::uint64_t> since_{0};     // os::cycles()
  std::atomic<std::int64_t> cpu_then_{-1};  // -1: not known
  std::atomic<clockid_t> cpu_clock_{};
};

/// What an M keeps to tell CPU time from time that passed. Its own thread only.
class cpu_time_check {
 public:
  /// From where on the CPU clock's time is still to be charged, in nanoseconds; without a look at it, so at about.
  std::int64_t estimate() const noexcept;
  /// So much CPU time of the M, in nanoseconds, is not charged here: somebody else does, or nobody.
  void leave_out(std::int64_t nanoseconds) noexcept { cpu_nanoseconds_ += nanoseconds; }
  /// `passed` cycles went by with a green thread on this M. Returns how many of them to charge.
  std::uint64_t deduct(std::uint64_t passed) noexcept {
    unchecked_ += passed;
    if (unchecked_ >= check_after()) [[unlikely]]
      check();
    if (owed_ == 0) [[likely]]
      return passed;
    std::uint64_t taken = owed_ < passed ? owed_ : passed;
    owed_ -= taken;
    return passed - taken;
  }

 private:
  static std::uint64_t check_after() noexcept;
  void check() noexcept;

  std::uint64_t unchecked_ = 0;       // cycles charged since the last look at the CPU clock
  std::uint64_t owed_ = 0;            // cycles charged that were not spent on the CPU
  std::int64_t cpu_nanoseconds_ = 0;  // the CPU clock at that look, and what is left out since
};

}  // namespace rt::detail
