// The last words of a host that dies by a signal.
//
// Plugins are native code, so they can end their host at any instruction. What an operator then needs is which task did
// it, where, and how: that is put together by a signal handler, on the thread's alternate stack, and sent as one frame
// over the link; the supervisor learns the rest from the exit status. After that the signal does what it does without a
// handler, so status and core dump are those of the fault itself.
//
// In the handler nothing allocates, locks or formats with the C library. Invariants:
// 1. Only the first thread that crashes reports; others wait for the end of the process.
// 2. No frame of another thread is cut in two: the handler first gets hold of the link (link_writer::seize).
// 3. Walking a damaged stack may fault again. The walk is entered under sigsetjmp, and a second fault of the same
//    thread ends it; the frames found so far are reported.
//
// The stack is walked by libgcc's unwinder, which on glibc 2.35 and later needs neither locks nor memory (it finds
// modules by _dl_find_object); frame pointers alone would lose the caller of abort() and of every other function of a
// library that has none. They are the fallback where the unwinder finds nothing: after a jump to a wild address.
#pragma once

#include "daemon/host/link.h"

namespace rtd::host {

/// Handles SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP and SIGSYS from now on. `link` must live as long as the
/// process. Call it once, before other threads run.
void install_crash_handler(link_writer& link);

}  // namespace rtd::host
