#include "daemon/supervisor/call.h"

#include <utility>

namespace rtd::supervisor {

call::call(const protocol::method_info& method, nlohmann::json params, peer from, protocol::role role,
           std::weak_ptr<subscriber> connection, finisher finish)
    : method_(method),
      params_(std::move(params)),
      from_(std::move(from)),
      role_(role),
      connection_(std::move(connection)),
      finish_(std::move(finish)) {}

call::~call() {
  if (finish_) fail(protocol::error_kind::internal, "the request was given up");
}

bool call::has(std::string_view key) const {
  const auto found = params_.find(key);
  return found != params_.end() && !found->is_null();
}

std::string call::text(std::string_view key, std::string fallback) const {
  return has(key) ? params_.at(std::string(key)).get<std::string>() : std::move(fallback);
}

double call::number(std::string_view key, double fallback) const {
  return has(key) ? params_.at(std::string(key)).get<double>() : fallback;
}

std::int64_t call::integer(std::string_view key, std::int64_t fallback) const {
  return has(key) ? params_.at(std::string(key)).get<std::int64_t>() : fallback;
}

bool call::flag(std::string_view key, bool fallback) const {
  return has(key) ? params_.at(std::string(key)).get<bool>() : fallback;
}

void call::reply(const nlohmann::json& result) {
  if (const auto finish = std::exchange(finish_, nullptr)) finish(*this, {&result, nullptr});
}

void call::fail(const protocol::rpc_error& error) {
  if (const auto finish = std::exchange(finish_, nullptr)) finish(*this, {nullptr, &error});
}

void call::fail(protocol::error_kind kind, const std::string& message, const std::string& hint) {
  nlohmann::json data = nlohmann::json::object();
  if (!hint.empty()) data["hint"] = hint;
  fail(protocol::rpc_error(kind, message, std::move(data)));
}

}  // namespace rtd::supervisor
