// RT_DEBUG=gccheckmark: everything is marked once more, while all stand still, in bits of its own, and compared.
//
// What is reachable and has no mark would have been freed: the program ends with a report that tells how it is reached,
// from a root down. The mistake is then the collector's, or that of code which has stored a plain pointer where an
// rt::ref belongs: the report says in what the pointer stands.
#pragma once

#include "runtime/gc/roots.h"

namespace rt::detail {

/// With the world stopped and marking complete. `data`: the data segments, found before the stop.
void check_marks(const root_ranges& data, root_range host_stack) noexcept;

/// With the world stopped, when a cycle begins: that nothing is marked and everything swept. Ends the process otherwise.
void check_no_marks() noexcept;

}  // namespace rt::detail
