#include "runtime/os/fatal.h"

#include <unistd.h>

#include <cstdarg>
#include <cstdio>
#include <cstdlib>

namespace rt::os {

void fatal(const char* format, ...) noexcept {
  char text[512];
  int used = std::snprintf(text, sizeof text, "rtd runtime: ");
  va_list arguments;
  va_start(arguments, format);
  int more = std::vsnprintf(text + used, sizeof text - static_cast<std::size_t>(used) - 1, format, arguments);
  va_end(arguments);
  std::size_t length = static_cast<std::size_t>(used) + static_cast<std::size_t>(more > 0 ? more : 0);
  if (length > sizeof text - 1) length = sizeof text - 1;
  text[length++] = '\n';
  ssize_t ignored = write(STDERR_FILENO, text, length);
  static_cast<void>(ignored);
  std::abort();
}

}  // namespace rt::os
