// Whose destructors wait to be called.
#pragma once

#include <cstdint>

namespace rt::detail {

class heap_owner;

/// Whether an object waits in the owner's queue (dead_objects.h) whose destructor lies between the addresses. With the
/// world stopped.
bool has_dead_object_of(const heap_owner& of, std::uintptr_t low, std::uintptr_t high) noexcept;

}  // namespace rt::detail
