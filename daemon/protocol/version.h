// What this build of rtd calls itself.
#pragma once

#include <string_view>

namespace rtd::protocol {

/// The revision of the control socket's protocol. It grows only when a client of the former one would break; added
/// methods, members and events do not change it.
inline constexpr int control_protocol = 1;

/// The revision of the supervisor-host link. Both ends come from one build, so a difference means a mixed installation.
inline constexpr int link_protocol = 1;

/// The version of this build, "0.1.0". Static storage.
std::string_view version() noexcept;

/// The compiler of this build, "gcc 12.2.0". Static storage.
std::string_view compiler() noexcept;

}  // namespace rtd::protocol
