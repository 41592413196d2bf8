#include "daemon/sandbox/policy.h"

#include <nlohmann/json.hpp>
#include <stdexcept>

namespace rtd::sandbox {
namespace {

using nlohmann::json;
using ports = std::optional<std::vector<std::uint16_t>>;

json of(const ports& from) { return from ? json(*from) : json(nullptr); }

ports ports_of(const json& from) {
  if (from.is_null()) return std::nullopt;
  return from.get<std::vector<std::uint16_t>>();
}

}  // namespace

std::string to_text(const host_policy& policy) {
  json paths = json::array();
  for (const path_rule& rule : policy.paths)
    paths.push_back({{"path", rule.path},
                     {"access", static_cast<int>(rule.how)},
                     {"optional", rule.optional},
                     {"own_root", rule.own_root}});
  json become = nullptr;
  if (policy.become) become = {{"user", policy.become->user}, {"group", policy.become->group}};
  const json all = {{"strict", policy.strict},
                    {"become", std::move(become)},
                    {"learn_key", policy.learn_key ? json(*policy.learn_key) : json(nullptr)},
                    {"dumpable", policy.dumpable},
                    {"paths", std::move(paths)},
                    {"listen_ports", of(policy.listen_ports)},
                    {"connect_ports", of(policy.connect_ports)},
                    {"datagrams", policy.datagrams}};
  return all.dump(-1, ' ', false, json::error_handler_t::replace);
}

host_policy policy_from(std::string_view text) {
  try {
    const json all = json::parse(text);
    host_policy result;
    result.strict = all.at("strict").get<bool>();
    if (const json& become = all.at("become"); !become.is_null())
      result.become = account{become.at("user").get<std::uint32_t>(), become.at("group").get<std::uint32_t>()};
    if (const json& key = all.at("learn_key"); !key.is_null()) result.learn_key = key.get<std::uint64_t>();
    result.dumpable = all.at("dumpable").get<bool>();
    for (const json& rule : all.at("paths")) {
      const int how = rule.at("access").get<int>();
      if (how < 0 || how > static_cast<int>(access::device)) throw std::runtime_error("an access that is none");
      result.paths.push_back({rule.at("path").get<std::string>(), static_cast<access>(how),
                              rule.at("optional").get<bool>(), rule.at("own_root").get<bool>()});
    }
    result.listen_ports = ports_of(all.at("listen_ports"));
    result.connect_ports = ports_of(all.at("connect_ports"));
    result.datagrams = all.at("datagrams").get<bool>();
    return result;
  } catch (const json::exception& error) {
    throw std::runtime_error(std::string("the policy cannot be read: ") + error.what());
  }
}

}  // namespace rtd::sandbox
