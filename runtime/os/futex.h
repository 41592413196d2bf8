// Sleeping of kernel threads on a word of memory.
#pragma once

#include <atomic>
#include <cstdint>

namespace rt::os {

/// Sleeps while `word` holds `expected`, at most `timeout` nanoseconds (negative: without end). May return early for
/// any reason; the caller checks its condition again. False when the time is over.
bool futex_wait(std::atomic<std::uint32_t>& word, std::uint32_t expected, std::int64_t timeout) noexcept;

/// Wakes up to `count` threads that sleep on `word`.
void futex_wake(std::atomic<std::uint32_t>& word, int count) noexcept;

}  // namespace rt::os
