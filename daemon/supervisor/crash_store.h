// Crash reports on disk, for the time after the log has been rotated away.
#pragma once

#include <cstddef>
#include <string>

#include "daemon/supervisor/host_process.h"

namespace rtd::supervisor {

/// The most reports that are kept; the oldest ones go.
inline constexpr std::size_t crash_reports_kept = 50;

/// Writes the end of a host as FOLDER/crashes/TIME-SANDBOX.json. Returns the file's path, or throws
/// std::filesystem::filesystem_error or std::runtime_error saying what failed.
std::string save_crash_report(const std::string& folder, const std::string& sandbox, const host_end& end);

}  // namespace rtd::supervisor
