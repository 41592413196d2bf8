// What the primitives tell about waits: how long mutexes were waited for, always, and what the two profiles of
// contention (rt/profile.h) ask for. The records are made in observe/contention_profile.cpp.
//
// Nothing of this is on the way of an operation that does not wait. A wait costs a load while the profiles are off;
// one for a mutex two reads of the cycle counter more, some 25 ns beside a park and a wake-up, and is therefore not
// sampled (Go measures one in eight).
#pragma once

#include <atomic>
#include <cstdint>

namespace rt::detail {

/// One in how many contended unlocks is noted; 0: none, and nothing is measured for it.
inline std::atomic<std::uint64_t> mutex_profile_fraction{0};
/// In cycles (os/clock.h): each wait as long as this is noted, and some of the shorter ones; 0: none.
inline std::atomic<std::uint64_t> block_profile_rate{0};

/// Notes an event of `cycles` on the calling green thread's stack, which stands for `count` events. No lock is held.
using contention_hook = void (*)(double count, double cycles) noexcept;
/// Null until the profile is turned on for the first time.
extern std::atomic<contention_hook> on_mutex_contention;
extern std::atomic<contention_hook> on_block;

/// Relaxed: a wait that begins while the profile is turned on or off is noted or is not.
inline bool profiles_mutexes() noexcept { return mutex_profile_fraction.load(std::memory_order_relaxed) != 0; }
inline bool profiles_blocks() noexcept { return block_profile_rate.load(std::memory_order_relaxed) != 0; }

/// The caller has waited for a mutex since `since` (os::cycles()): counts that.
void count_mutex_wait(std::uint64_t since) noexcept;
/// The beginning of a wait, for note_block: 0 while it is not to be noted.
std::uint64_t begin_block() noexcept;
/// The caller has waited since `since`.
void note_block(std::uint64_t since) noexcept;
/// The caller has unlocked a mutex for which others had waited for `cycles` together since its last unlock; 0: nothing
/// is known.
void note_unlock(std::uint64_t cycles) noexcept;

}  // namespace rt::detail
