// From what a sandbox's plugins were seen to use, what its configuration has to grant.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>

namespace rtd::supervisor {

/// The value of "grants" for a sandbox that loads these plugins and used what `learned` says (daemon/host/learning.h).
/// What every sandbox has anyway is left out; many files of one folder become the folder; where the kernel does not
/// tell `ports_apart`, who uses the network at all gets every address, since a strict sandbox is refused with less. The
/// host's words are checked.
nlohmann::json propose_grants(const nlohmann::json& learned, const std::map<std::string, std::string>& plugins,
                              const std::string& host_binary, bool ports_apart);

}  // namespace rtd::supervisor
