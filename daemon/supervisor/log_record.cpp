#include "daemon/supervisor/log_record.h"

#include "daemon/protocol/json.h"
#include "daemon/protocol/text.h"

namespace rtd::supervisor {
namespace {

// The syslog severity that journald files the line under.
std::string_view priority(log_level level) {
  switch (level) {
    case log_level::debug:
      return "7";
    case log_level::info:
      return "6";
    case log_level::warn:
      return "4";
    case log_level::error:
      return "3";
  }
  return "6";
}

}  // namespace

nlohmann::json log_record::to_json() const {
  return {{"seq", sequence},
          {"time", protocol::rfc3339(time)},
          {"level", to_string(level)},
          {"sandbox", sandbox},
          {"plugin", plugin},
          {"task", task},
          {"source", to_string(source)},
          {"message", message}};
}

std::string format_text(const log_record& record) {
  std::string line = protocol::rfc3339(record.time);
  std::string level(to_string(record.level));
  level.resize(5, ' ');
  line += " " + level + " ";
  if (!record.sandbox.empty()) {
    line += "[" + record.sandbox;
    if (!record.task.empty()) line += "/" + record.task;
    if (record.source == log_source::standard_output || record.source == log_source::standard_error)
      line += " " + std::string(to_string(record.source));
    line += "] ";
  }
  return line + record.message;
}

std::string format_json(const log_record& record) {
  nlohmann::json object = record.to_json();
  object.erase("seq");
  for (const char* key : {"sandbox", "plugin", "task"})
    if (object[key].get_ref<const std::string&>().empty()) object.erase(key);
  return protocol::to_line(object);
}

std::string format_journal(const log_record& record) {
  std::string block = "MESSAGE=" + record.message + "\nPRIORITY=" + std::string(priority(record.level)) +
                      "\nSYSLOG_IDENTIFIER=rtd\nRTD_SOURCE=" + std::string(to_string(record.source));
  if (!record.sandbox.empty()) block += "\nRTD_SANDBOX=" + record.sandbox;
  if (!record.plugin.empty()) block += "\nRTD_PLUGIN=" + record.plugin;
  if (!record.task.empty()) block += "\nRTD_TASK=" + record.task;
  return block;
}

}  // namespace rtd::supervisor
