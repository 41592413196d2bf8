#include "daemon/protocol/version.h"

#ifndef RTD_VERSION
#error "RTD_VERSION must come from the build"
#endif

namespace rtd::protocol {

std::string_view version() noexcept { return RTD_VERSION; }

std::string_view compiler() noexcept {
#if defined(__clang__)
  return "clang " __clang_version__;
#else
  return "gcc " __VERSION__;
#endif
}

}  // namespace rtd::protocol
