// Users and groups of the system by name.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace rtd::config {

/// The kernel shows this uid and gid for every user and group that a user namespace does not map, so it names nobody in
/// particular and never gets a role.
inline constexpr std::uint32_t unmapped_id = 65534;

/// The uid of a user, or nothing when there is none of that name. May block on a name service.
std::optional<std::uint32_t> find_user(const std::string& name);
/// The gid of a group, or nothing when there is none of that name. May block on a name service.
std::optional<std::uint32_t> find_group(const std::string& name);

}  // namespace rtd::config
