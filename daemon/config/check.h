// `rtd --check-config`.
#pragma once

#include <iosfwd>
#include <string>

namespace rtd::config {

/// The exit status for a bad configuration (EX_CONFIG of sysexits.h).
inline constexpr int exit_bad_config = 78;

/// Checks a file and writes one line for each problem, then one line with their number; or one line that tells what the
/// file configures. "-" is standard input, with the working directory as base of relative paths.
/// @return 0 or exit_bad_config.
int check_config(const std::string& path, std::ostream& out);

}  // namespace rtd::config
