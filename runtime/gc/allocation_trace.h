// RT_DEBUG=allocfreetrace: a line on standard error for each allocation, with where it was made, and for each free.
#pragma once

#include <cstddef>

namespace rt::detail {

/// On the allocating thread. Writes the object, its size in bytes, task and green thread, and the innermost return
/// addresses as LIBRARY+OFFSET, which addr2line reads.
void trace_allocation(const void* object, std::size_t size) noexcept;
/// On any thread, also in critical sections.
void trace_free(const void* object, std::size_t size) noexcept;

}  // namespace rt::detail
