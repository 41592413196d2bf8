// RT_DEBUG=gcverifyrefs: whether references lie where the collector sees them.
#pragma once

namespace rt::detail {

/// Ends the program with advice when the rt::ref at `slot`, which is about to be given `value`, lies in memory that the
/// collector does not look into. On threads that run no green thread it does nothing.
void check_slot(const void* slot, const void* value) noexcept;

}  // namespace rt::detail
