// Which system calls a host may make. A policy as data: seccomp.cpp turns it into a filter.
//
// The list allows what the runtime, the C library and ordinary libraries need, and names what is refused loudly. What
// stands in neither is refused quietly, as a call that the kernel does not know (ENOSYS): libraries try new calls and
// fall back, and must not be reported for it. Names that the build's libseccomp does not know are left out, which
// refuses them.
#pragma once

#include <span>

namespace rtd::sandbox {

/// Allowed whatever their arguments.
std::span<const char* const> allowed_calls() noexcept;

/// Refused with EPERM and reported: nothing that a task has to do needs them.
std::span<const char* const> reported_calls() noexcept;

}  // namespace rtd::sandbox
