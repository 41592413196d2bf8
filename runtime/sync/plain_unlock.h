// Mutexes that nobody has waited for may be unlocked with plain stores; why that is sound is told in mutex.cpp.
#pragma once

namespace rt::detail {

/// Allows it from now on, if the system has a barrier on all threads of a process (os/barrier.h). Before any green
/// thread runs.
void allow_plain_unlock() noexcept;

}  // namespace rt::detail
