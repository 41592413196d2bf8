#include "runtime/sched/cpu_time.h"

#include "runtime/os/clock.h"

namespace rt::detail {

namespace {

// How much CPU time an M charges before it looks at its CPU clock, in nanoseconds: the look costs 0.3 us.
constexpr double check_period = 1'000'000;

}  // namespace

std::uint64_t running_group::on_cpu(std::uint64_t passed, std::int64_t cpu_then, clockid_t cpu_clock) noexcept {
  timespec cpu;
  if (cpu_then < 0 || clock_gettime(cpu_clock, &cpu) != 0) return passed;  // it fails when the M has ended
  std::int64_t spent = static_cast<std::int64_t>(cpu.tv_sec) * 1'000'000'000 + cpu.tv_nsec - cpu_then;
  auto used = static_cast<std::uint64_t>(static_cast<double>(spent > 0 ? spent : 0) * os::cycles_per_nanosecond());
  return used < passed ? used : passed;
}

std::uint64_t running_group::read(const group& wanted, const std::atomic<std::uint64_t>& charged) const noexcept {
  // A writer is done within nanoseconds, unless its thread loses its CPU in between: then what is charged is the
  // answer.
  constexpr int tries = 1000;
  for (int i = 0; i < tries; ++i) {
    std::uint32_t sequence = sequence_.load(std::memory_order_acquire);  // pairs with the last store of move_on
    std::uint64_t cycles = charged.load(std::memory_order_acquire);      // these three pair with the stores in move_on
    bool runs = group_.load(std::memory_order_acquire) == &wanted;
    std::uint64_t since = since_.load(std::memory_order_acquire);
    std::int64_t cpu_then = cpu_then_.load(std::memory_order_acquire);
    clockid_t cpu_clock = cpu_clock_.load(std::memory_order_acquire);
    if (sequence % 2 != 0 || sequence_.load(std::memory_order_relaxed) != sequence) {
      os::cpu_pause();
      continue;
    }
    std::uint64_t now = os::cycles();
    if (!runs || now <= since) return cycles;
    return cycles + on_cpu(now - since, cpu_then, cpu_clock);
  }
  return charged.load(std::memory_order_relaxed);
}

std::uint64_t cpu_time_check::check_after() noexcept {
  static const auto cycles = static_cast<std::uint64_t>(check_period * os::cycles_per_nanosecond());
  return cycles;
}

std::int64_t cpu_time_check::estimate() const noexcept {
  // What is owed will be deducted from what is charged next, as if it began later.
  auto ahead = static_cast<double>(unchecked_ + owed_);
  return cpu_nanoseconds_ + static_cast<std::int64_t>(ahead / os::cycles_per_nanosecond());
}

void cpu_time_check::check() noexcept {
  std::int64_t cpu = os::thread_cpu_time();
  auto spent = static_cast<std::uint64_t>(static_cast<double>(cpu - cpu_nanoseconds_) * os::cycles_per_nanosecond());
  // The CPU clock also counts the scheduler's own work, so it may be ahead.
  if (unchecked_ > spent) owed_ += unchecked_ - spent;
  cpu_nanoseconds_ = cpu;
  unchecked_ = 0;
}

}  // namespace rt::detail
