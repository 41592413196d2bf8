// How a length of time stands in messages.
#pragma once

#include <chrono>
#include <cstdio>
#include <string>

namespace rtd::supervisor {

/// "2.5 s".
inline std::string seconds_text(std::chrono::nanoseconds length) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f s", std::chrono::duration<double>(length).count());
  return text;
}

}  // namespace rtd::supervisor
