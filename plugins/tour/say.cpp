#include "say.h"

#include <cstdarg>
#include <cstdio>

namespace tour {

namespace {

// A line of the log is cut at 8 KiB; the tour's are far shorter.
constexpr std::size_t longest_line = 1024;

void log(const rt::task& self, rt::log_level level, const char* format, std::va_list arguments) {
  char text[longest_line];
  std::vsnprintf(text, sizeof text, format, arguments);
  self.log(level, text);
}

}  // namespace

void say(const rt::task& self, const char* format, ...) {
  std::va_list arguments;
  va_start(arguments, format);
  log(self, rt::log_level::info, format, arguments);
  va_end(arguments);
}

void warn(const rt::task& self, const char* format, ...) {
  std::va_list arguments;
  va_start(arguments, format);
  log(self, rt::log_level::warn, format, arguments);
  va_end(arguments);
}

}  // namespace tour
