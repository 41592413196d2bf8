// Noting what the plugins of a sandbox use, so that an operator can grant it.
//
// The host of a sandbox that is learned runs without namespaces and Landlock, but its filter hands the calls that name
// files and addresses to the handler of SIGSYS, which notes them and makes them in the caller's place. (It may: the
// filter lets such a call pass when its sixth argument, which none of them has, is a number that the host chose.) So
// what a plugin needs is seen in one run, not one refusal after the other.
//
// Rejected: tracing (a plugin that is traced cannot be debugged, and a tracer is a program to guard), user notification
// (the listener would have to read the host's memory), reading Landlock's audit records (kernel 6.15, and root's).
#pragma once

#include <signal.h>
#include <ucontext.h>

#include <cstdint>
#include <nlohmann/json_fwd.hpp>

namespace rtd::host {

/// From now on note_learned() handles calls. `key` is what the filter was given.
void start_learning(std::uint64_t key) noexcept;

/// Makes a call that the filter handed over, and notes what it was about. False when it is none of those, or nothing is
/// being learned. For the handler of SIGSYS.
bool note_learned(const siginfo_t& info, ucontext_t& context) noexcept;

/// What was noted: {"read": [path…], "write": […], "listen": ["127.0.0.1:80"…], "connect": […], "udp": bool}.
nlohmann::json learned();

}  // namespace rtd::host
