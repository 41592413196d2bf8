// What the supervisor does when the system gives it no more memory (RLIMIT_AS, strict overcommit): it goes on.
//
// There are two kinds of allocations. Large ones are a client's or a host's: lines of up to a megabyte, answers, pages.
// Where they come in or go out, std::bad_alloc is caught and costs that client its connection, or that host its life,
// and nobody else anything. Small ones are the supervisor's own, everywhere, and half-done work is what a failure of
// one would leave; for them there is a reserve. The first allocation that fails gives it back to the system and is
// tried again. Until the reserve has been taken anew, which is tried each second, `is_spent`, and the control socket
// refuses what would change something: nothing may be begun that could not be brought to its end.
//
// Rejected: to end and be started anew by the service manager (all hosts end with the supervisor, for a shortage that
// may last milliseconds), to catch std::bad_alloc in the loop (what was half done stays so).
#pragma once

namespace rtd::supervisor::memory_reserve {

/// Takes the reserve, and has it given back when an allocation fails. To be called once, at the start.
void keep();

/// Whether the reserve was given back and cannot be had again yet. Tries to have it again. May be called by the loop's
/// thread only; cheap while nothing is wrong.
bool is_spent();

}  // namespace rtd::supervisor::memory_reserve
