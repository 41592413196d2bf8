#include "daemon/sandbox/environment.h"

#include <cstdlib>

namespace rtd::sandbox {

std::vector<std::string> host_environment() {
  std::vector<std::string> result = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"};
  for (const char* name : {"RT_DEBUG", "TZ", "ASAN_OPTIONS", "LSAN_OPTIONS", "TSAN_OPTIONS", "UBSAN_OPTIONS"})
    if (const char* value = std::getenv(name); value != nullptr) result.push_back(std::string(name) + "=" + value);
  return result;
}

}  // namespace rtd::sandbox
