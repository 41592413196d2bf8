#include "daemon/host/request_params.h"

#include "daemon/host/request_error.h"
#include "daemon/protocol/fields.h"
#include "daemon/protocol/text.h"

namespace rtd::host {

namespace {

[[noreturn]] void refuse(std::string_view key, const std::string& wanted) {
  throw request_error("bad_request", "parameter \"" + std::string(key) + "\" must be " + wanted);
}

}  // namespace

request_params::request_params(const nlohmann::json& params) : params_(params) {
  if (!params.is_object()) throw request_error("bad_request", "\"params\" must be an object");
}

bool request_params::has(std::string_view key) const { return params_.contains(key); }

const nlohmann::json& request_params::member(std::string_view key) const { return rtd::protocol::member(params_, key); }

std::string request_params::text(std::string_view key, std::size_t most_bytes) const {
  const nlohmann::json& value = member(key);
  if (!value.is_string() || value.get_ref<const std::string&>().size() > most_bytes) {
    refuse(key, "a text of at most " + std::to_string(most_bytes) + " bytes");
  }
  return value.get<std::string>();
}

std::string request_params::text_or(std::string_view key, std::size_t most_bytes, std::string_view fallback) const {
  return has(key) ? text(key, most_bytes) : std::string(fallback);
}

std::string request_params::name(std::string_view key) const {
  std::string value = text(key, rtd::protocol::max_name_bytes);
  if (!rtd::protocol::is_name(value)) refuse(key, "a name, [a-z][a-z0-9_-]*");
  return value;
}

std::int64_t request_params::integer(std::string_view key, std::int64_t least, std::int64_t most) const {
  const nlohmann::json& value = member(key);
  bool fits = value.is_number_integer() &&
              !(value.is_number_unsigned() && value.get<std::uint64_t>() > static_cast<std::uint64_t>(INT64_MAX));
  std::int64_t number = fits ? value.get<std::int64_t>() : 0;
  if (!fits || number < least || number > most) {
    refuse(key, "a whole number from " + std::to_string(least) + " to " + std::to_string(most));
  }
  return number;
}

std::int64_t request_params::integer_or(std::string_view key, std::int64_t least, std::int64_t most,
                                        std::int64_t fallback) const {
  return has(key) ? integer(key, least, most) : fallback;
}

bool request_params::boolean_or(std::string_view key, bool fallback) const {
  if (!has(key)) return fallback;
  const nlohmann::json& value = member(key);
  if (!value.is_boolean()) refuse(key, "true or false");
  return value.get<bool>();
}

double request_params::number_or(std::string_view key, double least, double most, double fallback) const {
  if (!has(key)) return fallback;
  const nlohmann::json& value = member(key);
  double number = value.is_number() ? value.get<double>() : least - 1;
  if (!(number >= least && number <= most)) {
    refuse(key, "a number from " + std::to_string(least) + " to " + std::to_string(most));
  }
  return number;
}

bool request_params::flag_or(std::string_view key, bool fallback) const {
  if (!has(key)) return fallback;
  const nlohmann::json& value = member(key);
  if (!value.is_boolean()) refuse(key, "true or false");
  return value.get<bool>();
}

}  // namespace rtd::host
