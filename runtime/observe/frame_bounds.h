// Where a frame may lie.
#pragma once

#include <cstdint>

namespace rt::detail {

/// Whether the two words of a frame at `place` (the caller's frame pointer and the return address) lie in [low, high).
/// `place` may be any number: code that was interrupted may use the register of the frame pointer for what it likes.
constexpr bool is_frame_within(std::uintptr_t place, std::uintptr_t low, std::uintptr_t high) noexcept {
  return place >= low && place < high && high - place >= 2 * sizeof(std::uintptr_t) &&
         place % sizeof(std::uintptr_t) == 0;
}

}  // namespace rt::detail
