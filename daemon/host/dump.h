// Dumps of green threads' stacks.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace rtd::host {

/// The stacks of at most `limit` green threads as text, of all or of one task; at most about 4 MiB, with a last line
/// that says how many were left out. May take milliseconds. Any kernel thread.
std::string dump_stacks(std::size_t limit, std::string_view task);

}  // namespace rtd::host
