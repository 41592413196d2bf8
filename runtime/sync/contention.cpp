#include "runtime/sync/contention.h"

#include "runtime/os/clock.h"
#include "runtime/sched/park.h"

namespace rt::detail {

std::atomic<contention_hook> on_mutex_contention{nullptr};
std::atomic<contention_hook> on_block{nullptr};

namespace {

std::uint64_t random_number() noexcept {
  worker* self = current_worker();
  if (self == nullptr) return os::cycles() >> 4;
  std::uint64_t upper = self->next_random();
  return upper << 32 | self->next_random();
}

// Cores may differ by some cycles.
std::uint64_t cycles_since(std::uint64_t since) noexcept {
  std::uint64_t now = os::cycles();
  return now > since ? now - since : 1;
}

}  // namespace

std::uint64_t begin_block() noexcept { return profiles_blocks() ? os::cycles() : 0; }

void count_mutex_wait(std::uint64_t since) noexcept {
  std::uint64_t cycles = cycles_since(since);
  worker& self = enter_with_proc();
  bump(self.p->mutex_wait_cycles, cycles);
  os::leave_critical(self);
}

// Each of the next two is a frame of its own between the hook and the primitive (frames_of_the_hook): neither inlined,
// nor left by a jump to the hook.
__attribute__((noinline)) void note_block(std::uint64_t since) noexcept {
  if (since == 0) return;
  std::uint64_t cycles = cycles_since(since);
  std::uint64_t rate = block_profile_rate.load(std::memory_order_relaxed);
  if (rate == 0) return;
  // Go's rule. The chance of a short wait is its length over the rate; so it stands for the inverse of that, and short
  // waits are told as often as they are.
  double count = 1;
  if (cycles < rate) {
    if (random_number() % rate > cycles) return;
    count = static_cast<double>(rate) / static_cast<double>(cycles);
  }
  contention_hook hook = on_block.load(std::memory_order_acquire);  // pairs with set_block_profile_rate
  if (hook != nullptr) hook(count, static_cast<double>(cycles < rate ? rate : cycles));
  asm volatile("");
}

__attribute__((noinline)) void note_unlock(std::uint64_t cycles) noexcept {
  if (cycles == 0) return;
  std::uint64_t fraction = mutex_profile_fraction.load(std::memory_order_relaxed);
  if (fraction == 0 || random_number() % fraction != 0) return;
  contention_hook hook = on_mutex_contention.load(std::memory_order_acquire);  // with set_mutex_profile_fraction
  auto weight = static_cast<double>(fraction);
  if (hook != nullptr) hook(weight, weight * static_cast<double>(cycles));
  asm volatile("");
}

}  // namespace rt::detail
