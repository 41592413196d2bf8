// A line of the log.
#pragma once

#include <chrono>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace rtd::supervisor {

enum class log_level : std::uint8_t { debug, info, warn, error };

constexpr std::string_view to_string(log_level level) noexcept {
  switch (level) {
    case log_level::debug:
      return "debug";
    case log_level::info:
      return "info";
    case log_level::warn:
      return "warn";
    case log_level::error:
      return "error";
  }
  return "info";
}

/// The level of that name, or nothing.
constexpr std::optional<log_level> log_level_from(std::string_view text) noexcept {
  for (log_level level : {log_level::debug, log_level::info, log_level::warn, log_level::error})
    if (to_string(level) == text) return level;
  return std::nullopt;
}

/// Who wrote a line: the supervisor itself, a task through its log, or what a host wrote to its standard streams.
enum class log_source : std::uint8_t { supervisor, task, standard_output, standard_error };

constexpr std::string_view to_string(log_source source) noexcept {
  switch (source) {
    case log_source::supervisor:
      return "supervisor";
    case log_source::task:
      return "task";
    case log_source::standard_output:
      return "stdout";
    case log_source::standard_error:
      return "stderr";
  }
  return "supervisor";
}

struct log_record {
  std::uint64_t sequence = 0;  // given by the log
  std::chrono::system_clock::time_point time{};
  log_level level = log_level::info;
  log_source source = log_source::supervisor;
  std::string sandbox;
  std::string plugin;
  std::string task;
  std::string message;  // cleaned: no control characters

  /// As `logs` answers it.
  nlohmann::json to_json() const;
};

/// The line as one text, JSON object or block of journal fields (NAME=value lines), without a newline at the end.
std::string format_text(const log_record& record);
std::string format_json(const log_record& record);
std::string format_journal(const log_record& record);

}  // namespace rtd::supervisor
