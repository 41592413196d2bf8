// The end of the process for errors that leave no way on.
#pragma once

namespace rt::os {

/// Prints "rtd runtime: " and the message to standard error and aborts. Allocates nothing; any thread may call it.
[[noreturn]] void fatal(const char* format, ...) noexcept __attribute__((format(printf, 1, 2)));

}  // namespace rt::os
