// What rtctl's exit status says; scripts rely on these numbers.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>

namespace rtd::ctl {

enum class exit_code : int {
  ok = 0,
  failed = 1,     ///< rtd refused the request or could not do it
  usage = 2,      ///< the command line is wrong
  not_ready = 3,  ///< rtd, or what the request is about, is not ready or not running
  permission_denied = 4,
  not_found = 5,
  invalid_config = 6,
  unreachable = 7,  ///< no rtd answers on the socket
  timed_out = 8,
};

/// `rtctl task run --wait` leaves 0 to 123 to the task; these three are its own.
inline constexpr int run_timed_out = 124;
inline constexpr int run_could_not = 125;
inline constexpr int signal_base = 128;

/// The exit code for an error kind of the control protocol; `failed` for a kind that has no code of its own.
exit_code exit_code_for_kind(std::string_view kind) noexcept;

/// The exit status that stands for a task in a final state: 0 when it completed or was stopped, 128 + n when its host
/// died by signal n, 1 when it failed otherwise.
/// @param task the task as the control protocol shows it
int exit_status_of_task(const nlohmann::json& task);

/// The number of a signal given as a number, as text with a number, or by name ("SIGSEGV", "SEGV").
std::optional<int> signal_number(const nlohmann::json& value);

}  // namespace rtd::ctl
