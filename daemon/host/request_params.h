// Reading the parameters of a request. What is wrong is answered with kind "bad_request" and the parameter's name.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace rtd::host {

class request_params {
 public:
  /// @throws request_error when `params` is no object.
  explicit request_params(const nlohmann::json& params);

  bool has(std::string_view key) const;
  /// @throws request_error, as all below, when it is missing, of another type, too long or out of range.
  std::string text(std::string_view key, std::size_t most_bytes) const;
  std::string text_or(std::string_view key, std::size_t most_bytes, std::string_view fallback) const;
  std::string name(std::string_view key) const;
  std::int64_t integer(std::string_view key, std::int64_t least, std::int64_t most) const;
  std::int64_t integer_or(std::string_view key, std::int64_t least, std::int64_t most, std::int64_t fallback) const;
  bool boolean_or(std::string_view key, bool fallback) const;
  double number_or(std::string_view key, double least, double most, double fallback) const;
  bool flag_or(std::string_view key, bool fallback) const;
  /// The member itself; null when it is missing.
  const nlohmann::json& member(std::string_view key) const;

 private:
  const nlohmann::json& params_;
};

}  // namespace rtd::host
