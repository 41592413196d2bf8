// Exceptions as roots. See exceptions.cpp.
#pragma once

#include <cstdint>

#include "runtime/gc/roots.h"

namespace rt::detail {

/// Calls `visit(argument, range)` with each exception object that exists: thrown and not yet caught, in a handler, or
/// kept by a std::exception_ptr. It stays there during the call, which takes no lock and no memory.
void for_each_exception(void (*visit)(void* argument, root_range range), void* argument) noexcept;
/// How many there are, at about this moment.
std::uint64_t exception_count() noexcept;

}  // namespace rt::detail
