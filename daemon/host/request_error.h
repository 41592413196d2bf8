// A request that the host answers with an error.
#pragma once

#include <stdexcept>
#include <string>

namespace rtd::host {

/// `kind` is for programs ("plugin_abi_mismatch"), the message for people. Both go over the link.
class request_error : public std::runtime_error {
 public:
  request_error(std::string kind, const std::string& message) : std::runtime_error(message), kind_(std::move(kind)) {}
  const std::string& kind() const noexcept { return kind_; }

 private:
  std::string kind_;
};

}  // namespace rtd::host
