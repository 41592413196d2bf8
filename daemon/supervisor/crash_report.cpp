#include "daemon/supervisor/crash_report.h"

#include "daemon/protocol/fields.h"

namespace rtd::supervisor {
namespace {

constexpr std::size_t max_frames = 128;
constexpr std::size_t max_frame_bytes = 512;

std::string name_or_empty(const nlohmann::json& event, std::string_view key) {
  std::string text = protocol::text_field(event, key, protocol::max_name_bytes);
  return protocol::is_name(text) ? text : std::string();
}

}  // namespace

nlohmann::json checked_crash_report(const nlohmann::json& event) {
  using namespace protocol;
  nlohmann::json stack = nlohmann::json::array();
  if (const auto& frames = member(event, "stack"); frames.is_array())
    for (const auto& frame : frames) {
      if (stack.size() == max_frames) break;
      if (frame.is_string()) stack.push_back(clean_text(frame.get_ref<const std::string&>(), max_frame_bytes));
    }
  return {{"signal", text_field(event, "signal", 32)},
          {"code", text_field(event, "code", 32)},
          {"address", text_field(event, "address", 32)},
          {"green_thread", integer_field(event, "green_thread", 0, 0, INT64_MAX)},
          {"task", name_or_empty(event, "task")},
          {"plugin", name_or_empty(event, "plugin")},
          {"stack_overflow", boolean_field(event, "stack_overflow", false)},
          {"stack", std::move(stack)}};
}

std::string describe_crash(const nlohmann::json& report) {
  const auto text = [&](const char* key) { return report.at(key).get<std::string>(); };
  std::string result = report.at("stack_overflow").get<bool>() ? "stack overflow: " : "";
  result += text("signal").empty() ? "crash" : text("signal");
  if (!text("code").empty()) result += " (" + text("code") + ")";
  if (!text("address").empty()) result += " at " + text("address");
  if (!text("task").empty()) result += " in task " + text("task");
  if (!text("plugin").empty()) result += ", plugin " + text("plugin");
  if (const auto id = report.at("green_thread").get<std::int64_t>(); id > 0)
    result += ", green thread " + std::to_string(id);
  if (const auto& stack = report.at("stack"); !stack.empty()) result += ": " + stack.front().get<std::string>();
  return result;
}

}  // namespace rtd::supervisor
