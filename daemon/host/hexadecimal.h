// Addresses as the control socket tells them.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>

namespace rtd::host {

/// "0x7f…", without leading zeros. Any thread.
inline std::string hexadecimal(std::uintptr_t address) {
  char text[32];
  std::snprintf(text, sizeof text, "0x%zx", static_cast<std::size_t>(address));
  return text;
}

}  // namespace rtd::host
