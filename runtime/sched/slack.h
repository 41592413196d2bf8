// Coalescing: choosing a moment that other timers choose as well.
#pragma once

#include <bit>
#include <cstdint>

namespace rt::detail {

/// The time in [when, when + slack] that is a multiple of the highest power of two. Timers whose spans overlap enough
/// choose the same one without knowing of each other, so they share a wake-up, in this runtime and in others on the
/// same clock. Times in nanoseconds; `when` is not negative; INT64_MAX stays what it is, "never".
inline std::int64_t coalesced(std::int64_t when, std::int64_t slack) noexcept {
  constexpr std::int64_t never = INT64_MAX;
  if (slack <= 0 || when == never) return when;
  std::int64_t limit = when < never - 1 - slack ? when + slack : never - 1;
  auto differing = static_cast<std::uint64_t>(when ^ limit);
  if (differing == 0) return when;
  // The highest bit in which they differ is set in `limit`: with the bits below cleared it is still after `when`.
  std::uint64_t below = (std::uint64_t{1} << (std::bit_width(differing) - 1)) - 1;
  return limit & static_cast<std::int64_t>(~below);
}

}  // namespace rt::detail
