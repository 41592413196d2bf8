// Data segments that are no roots any more.
#pragma once

#include "runtime/gc/roots.h"

namespace rt::detail {

/// Calls `visit` with each slot of the table of roots that an rt::root among the data has: its address stands there.
/// (A root clears the place that it leaves, so it stands nowhere else.)
void for_each_slot_of(root_range data, void (*visit)(void* argument, std::uintptr_t slot), void* argument) noexcept;

/// for_each_data_segment leaves out what lies in the image of a library that is about to be unloaded, and what the
/// rt::roots among its variables refer to is taken from them. False when too many are left out already. Any thread.
/// @throws std::bad_alloc
bool exclude_from_roots(root_range image);
/// The library is gone.
void include_in_roots(root_range image) noexcept;

}  // namespace rt::detail
