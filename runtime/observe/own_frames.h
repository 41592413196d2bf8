// The calling flow's own stack.
#pragma once

#include <cstddef>

namespace rt::detail {

/// Return addresses of the caller's frames, innermost first, by frame pointers. Async-signal-safe on a green thread.
std::size_t own_frames(void** frames, std::size_t most) noexcept;

}  // namespace rt::detail
