// A memory barrier on all threads of the process, for protocols in which one side is hot and the other one is rare.
#pragma once

namespace rt::os {

/// Makes process_barrier() possible; once before the first. False when the kernel (or a sandbox) refuses membarrier(2).
bool prepare_process_barrier() noexcept;

/// When it returns, every other thread of the process has passed a full memory barrier since the call began. Some
/// microseconds. Async-signal-safe.
void process_barrier() noexcept;

}  // namespace rt::os
