// Why an address could not be used: an error, and what the message of the exception adds to it.
#pragma once

#include <string>
#include <system_error>
#include <utility>

#include "rt/net.h"

namespace rt::net::detail {

struct failure {
  failure() = default;
  failure(std::error_code error, std::string text = {}) : code(error), detail(std::move(text)) {}
  failure(errc error, std::string text = {}) : code(make_error_code(error)), detail(std::move(text)) {}

  /// Whether there is one.
  explicit operator bool() const noexcept { return static_cast<bool>(code); }

  std::error_code code;
  std::string detail;  ///< the value at fault and the remedy; may be empty
};

}  // namespace rt::net::detail
