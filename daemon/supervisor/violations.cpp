#include "daemon/supervisor/violations.h"

#include <utility>

#include "daemon/protocol/fields.h"
#include "daemon/protocol/text.h"
#include "daemon/sandbox/seccomp.h"

namespace rtd::supervisor {
namespace {

using nlohmann::json;

constexpr std::size_t max_arguments = 6;
constexpr std::size_t max_frames = 32;
constexpr std::size_t max_frame_bytes = 512;
constexpr std::int64_t most_call_number = 1 << 20;

std::string name_or_empty(const json& event, std::string_view key) {
  std::string text = protocol::text_field(event, key, protocol::max_name_bytes);
  return protocol::is_name(text) ? text : std::string();
}

json texts_of(const json& list, std::size_t most, std::size_t most_bytes) {
  json result = json::array();
  if (!list.is_array()) return result;
  for (const auto& text : list) {
    if (result.size() == most) break;
    if (text.is_string()) result.push_back(protocol::clean_text(text.get_ref<const std::string&>(), most_bytes));
  }
  return result;
}

json checked(const json& event) {
  const auto number = protocol::integer_field(event, "number", -1, 0, most_call_number);
  return {{"call", number < 0 ? "unknown" : sandbox::call_name(number)},
          {"number", number},
          {"arguments", texts_of(protocol::member(event, "arguments"), max_arguments, 20)},
          {"plugin", name_or_empty(event, "plugin")},
          {"task", name_or_empty(event, "task")},
          {"green_thread", protocol::integer_field(event, "green_thread", 0, 0, INT64_MAX)},
          {"stack", texts_of(protocol::member(event, "stack"), max_frames, max_frame_bytes)},
          {"at", protocol::rfc3339(std::chrono::system_clock::now())}};
}

std::string describe(const json& report) {
  const auto text = [&](const char* key) { return report.at(key).get<std::string>(); };
  std::string result = text("call") + "(";
  for (const auto& argument : report.at("arguments"))
    result += (result.back() == '(' ? "" : ", ") + argument.get<std::string>();
  result += ")";
  if (!text("task").empty()) result += " in task " + text("task");
  if (!text("plugin").empty()) result += (text("task").empty() ? " in plugin " : ", plugin ") + text("plugin");
  if (const auto& stack = report.at("stack"); !stack.empty()) {
    // The first frame is the C library's; the caller says more.
    result += ": " + stack.at(stack.size() > 1 ? 1 : 0).get<std::string>();
  }
  return result;
}

}  // namespace

std::string violations::take(const json& event) {
  json report = checked(event);
  ++total_;
  const auto call = report.at("call").get<std::string>();
  const bool known = by_call_.contains(call) || by_call_.size() < most_calls;
  ++by_call_[known ? call : "_other"];
  std::string words = describe(report);
  if (events_.take(1, clock::now()))
    with_.events.add(log_level::warn, "sandbox_violation", sandbox_, report.at("task").get<std::string>(),
                     "sandbox " + sandbox_ + " refused " + words,
                     {{"call", call}, {"plugin", report.at("plugin")}, {"arguments", report.at("arguments")}});
  last_.push_back(std::move(report));
  if (last_.size() > most_kept) last_.pop_front();
  return words;
}

void violations::take_lost(const json& event) {
  const auto count = static_cast<std::uint64_t>(protocol::integer_field(event, "count", 0, 0, INT64_C(1) << 40));
  total_ += count;
  by_call_["_unreported"] += count;
}

}  // namespace rtd::supervisor
