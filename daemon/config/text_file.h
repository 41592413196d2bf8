// Reading the file of a configuration.
#pragma once

#include <optional>
#include <string>

#include "daemon/config/problem.h"

namespace rtd::config {

/// The contents of a regular file of at most most_text_bytes. Whatever prevents the reading is a problem of the file,
/// and there is no text. Never waits for a writer: pipes and devices are refused.
std::optional<std::string> read_text_file(const std::string& path, problem_list& problems);

}  // namespace rtd::config
