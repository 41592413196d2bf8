// System calls that the sandbox refused, for the supervisor to hear of.
//
// The kernel refuses the call and sends the thread SIGSYS (daemon/sandbox/seccomp.h); the handler writes down which
// call it was, of which task, and the stack, and lets the call fail with EPERM. The report is a JSON text that the
// handler composes in one of a few fixed places; the reporting thread (log_drain.h) sends them. A flood costs the
// flooding task its time and nothing else: what finds no free place is only counted.
//
// The race by name: *report against unload*. Frames are named while the thread is still in the call, so its plugin is
// held; the tables of names of other plugins are kept by symbol_tables' readers.
#pragma once

#include <signal.h>
#include <ucontext.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace rtd::host {

/// The si_code of a SIGSYS that a filter sent (the kernel's SYS_SECCOMP, which the C library does not name).
inline constexpr int refused_by_filter = 1;

/// Notes the refused call of the calling thread and makes it fail with EPERM. For the handler of SIGSYS.
void note_violation(const siginfo_t& info, ucontext_t& context) noexcept;

/// `wake` is called after each note, from the signal handler: it must be async-signal-safe. Before the first one.
void wake_on_violation(void (*wake)(void*), void* argument) noexcept;

/// Calls `take` with each report (a JSON object) that was not taken before. One thread at a time.
void take_violations(const std::function<void(std::string_view)>& take);

/// How many found no place, in all.
std::uint64_t violations_without_report() noexcept;

}  // namespace rtd::host
