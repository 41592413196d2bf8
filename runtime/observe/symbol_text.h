// Addresses of code as text.
#pragma once

#include <string>

namespace rt::detail {

/// "function(…)\n\tfile:0 +0x12", Go's form. `is_return_address`: the call before it is meant.
std::string symbol_text(void* address, bool is_return_address);

}  // namespace rt::detail
