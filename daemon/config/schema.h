// The JSON Schema of the configuration.
#pragma once

#include <string_view>

namespace rtd::config {

/// The text of config/rtd.schema.json as it was when the program was built.
std::string_view schema_text() noexcept;

}  // namespace rtd::config
