// Wrong calls in functions that cannot throw.
#pragma once

namespace rt::detail {

/// Fails the caller's task with an rt::usage_error of this text and cancels it; returns then, and the caller changes
/// nothing. Outside a task the process ends with a report. Not under a lock.
void report_misuse(const char* text) noexcept;

}  // namespace rt::detail
