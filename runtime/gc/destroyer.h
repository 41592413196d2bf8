// Destructors of objects that were found dead.
#pragma once

namespace rt::detail {

/// Starts the green threads that call them, for each task that has some and none at it. Any thread, while a scheduler
/// runs.
void destroy_dead_objects() noexcept;

}  // namespace rt::detail
