#include "daemon/ctl/fields.h"

#include <algorithm>
#include <cmath>

#include "daemon/protocol/fields.h"

namespace rtd::ctl {

using nlohmann::json;

const json& member_of(const json& object, std::string_view key) { return protocol::member(object, key); }

const json& list_of(const json& object, std::string_view key) {
  static const json empty = json::array();
  const json& member = member_of(object, key);
  return member.is_array() ? member : empty;
}

std::string text_of(const json& object, std::string_view key) {
  const json& member = member_of(object, key);
  if (member.is_string()) return member.get<std::string>();
  if (member.is_number() || member.is_boolean()) return member.dump();
  return {};
}

std::optional<double> number_of(const json& object, std::string_view key) {
  const json& member = member_of(object, key);
  if (!member.is_number()) return std::nullopt;
  return member.get<double>();
}

std::string count_of(const json& object, std::string_view key, std::string_view missing) {
  const json& member = member_of(object, key);
  if (member.is_number_integer()) return member.dump();
  if (member.is_number_float() && std::abs(member.get<double>()) < 1e15)
    return std::to_string(std::llround(member.get<double>()));
  return std::string(missing);
}

bool flag_of(const json& object, std::string_view key) {
  const json& member = member_of(object, key);
  return member.is_boolean() && member.get<bool>();
}

void sort_list(json& object, std::string_view key, std::string_view by) {
  if (!object.is_object()) return;
  const auto place = object.find(std::string(key));
  if (place == object.end() || !place->is_array()) return;
  auto& rows = place->get_ref<json::array_t&>();
  std::stable_sort(rows.begin(), rows.end(),
                   [by](const json& left, const json& right) { return text_of(left, by) < text_of(right, by); });
}

}  // namespace rtd::ctl
