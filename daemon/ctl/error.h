// A command that cannot go on: what is shown to the user, and the exit status.
#pragma once

#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <utility>

#include "daemon/ctl/exit_code.h"

namespace rtd::ctl {

class command_error : public std::runtime_error {
 public:
  /// @param hint what the user can do about it; may be empty
  command_error(exit_code code, const std::string& message, std::string hint = {})
      : std::runtime_error(message), code_(code), hint_(std::move(hint)) {}

  exit_code code() const noexcept { return code_; }
  const std::string& hint() const noexcept { return hint_; }

 private:
  exit_code code_;
  std::string hint_;
};

/// rtd answered a request with an error.
class request_error : public command_error {
 public:
  /// @param data the error's `data` member: kind, and what else the kind carries
  request_error(exit_code code, const std::string& message, std::string hint, std::string kind, nlohmann::json data)
      : command_error(code, message, std::move(hint)), kind_(std::move(kind)), data_(std::move(data)) {}

  const std::string& kind() const noexcept { return kind_; }
  const nlohmann::json& data() const noexcept { return data_; }

 private:
  std::string kind_;
  nlohmann::json data_;
};

}  // namespace rtd::ctl
