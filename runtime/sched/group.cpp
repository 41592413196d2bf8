#include "runtime/sched/group.h"

#include "runtime/os/clock.h"
#include "runtime/os/fatal.h"
#include "runtime/sched/park.h"

#include <ctime>

namespace rt::detail {

group::group(std::string group_name, std::size_t default_stack_size, exception_hook hook, void* owning)
    : name(std::move(group_name)),
      owner(owning),
      stack_size(default_stack_size),
      on_exception(hook),
      domain(this),
      shards(new shard[most_procs]) {}

group::~group() {
  if (live() != 0) os::fatal("the group \"%s\" was destroyed while it had green threads", name.c_str());
}

std::uint64_t group::live() const noexcept {
  // All ends before all beginnings: see the head of group.h for what equality proves.
  std::uint64_t ended = outside.ended.load(std::memory_order_acquire);
  for (int i = 0; i < most_procs; ++i) ended += shards[i].ended.load(std::memory_order_acquire);
  std::uint64_t begun = created();
  return begun > ended ? begun - ended : 0;
}

std::uint64_t group::created() const noexcept {
  std::uint64_t begun = outside.created.load(std::memory_order_acquire);
  for (int i = 0; i < most_procs; ++i) begun += shards[i].created.load(std::memory_order_acquire);
  return begun;
}

double group::cpu_seconds() const noexcept {
  std::uint64_t cycles = outside.cycles.load(std::memory_order_relaxed);
  for (int i = 0; i < most_procs; ++i) cycles += shards[i].cycles.load(std::memory_order_relaxed);
  return static_cast<double>(cycles) / os::cycles_per_nanosecond() * 1e-9;
}

bool group::wait_until_at_most(std::uint64_t remaining, std::int64_t deadline) const noexcept {
  constexpr std::int64_t first_pause = 50'000;
  constexpr std::int64_t longest_pause = 10'000'000;
  std::int64_t pause = first_pause;
  while (live() > remaining) {
    std::int64_t now = os::nanotime();
    if (now >= deadline) return false;
    std::int64_t until = deadline - now < pause ? deadline : now + pause;
    if (current_green_thread() != nullptr) {
      while (os::nanotime() < until) park_until(wait_reason::other, until);
    } else {
      timespec length{(until - now) / 1'000'000'000, (until - now) % 1'000'000'000};
      nanosleep(&length, nullptr);
    }
    if (pause < longest_pause) pause *= 2;
  }
  return true;
}

group* current_group() noexcept {
  green_thread* self = current_green_thread();
  return self == nullptr ? nullptr : self->member_of.load(std::memory_order_relaxed);
}

}  // namespace rt::detail
