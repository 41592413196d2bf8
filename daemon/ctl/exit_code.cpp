#include "daemon/ctl/exit_code.h"

#include <array>
#include <charconv>
#include <csignal>
#include <string>
#include <utility>

#include "daemon/ctl/fields.h"

namespace rtd::ctl {
namespace {

constexpr std::array<std::pair<std::string_view, exit_code>, 11> codes{{
    {"permission_denied", exit_code::permission_denied},
    {"not_found", exit_code::not_found},
    {"plugin_not_found", exit_code::not_found},
    {"invalid_config", exit_code::invalid_config},
    {"timeout", exit_code::timed_out},
    {"unavailable", exit_code::not_ready},
    {"not_ready", exit_code::not_ready},
    {"unreachable", exit_code::unreachable},
    {"invalid_params", exit_code::usage},
    {"usage", exit_code::usage},
    {"ok", exit_code::ok},
}};

constexpr std::array<std::pair<std::string_view, int>, 16> signals{{
    {"HUP", SIGHUP},
    {"INT", SIGINT},
    {"QUIT", SIGQUIT},
    {"ILL", SIGILL},
    {"TRAP", SIGTRAP},
    {"ABRT", SIGABRT},
    {"BUS", SIGBUS},
    {"FPE", SIGFPE},
    {"KILL", SIGKILL},
    {"USR1", SIGUSR1},
    {"SEGV", SIGSEGV},
    {"USR2", SIGUSR2},
    {"PIPE", SIGPIPE},
    {"TERM", SIGTERM},
    {"XCPU", SIGXCPU},
    {"SYS", SIGSYS},
}};

std::optional<int> in_range(long number) {
  if (number < 1 || number > 64) return std::nullopt;
  return static_cast<int>(number);
}

}  // namespace

exit_code exit_code_for_kind(std::string_view kind) noexcept {
  for (const auto& [name, code] : codes)
    if (name == kind) return code;
  return exit_code::failed;
}

std::optional<int> signal_number(const nlohmann::json& value) {
  if (value.is_number_integer()) return in_range(value.get<long>());
  if (!value.is_string()) return std::nullopt;
  std::string_view name = value.get_ref<const std::string&>();
  long number = 0;
  if (const auto [end, problem] = std::from_chars(name.data(), name.data() + name.size(), number);
      problem == std::errc() && end == name.data() + name.size())
    return in_range(number);
  if (name.starts_with("SIG")) name.remove_prefix(3);
  for (const auto& [known, its_number] : signals)
    if (known == name) return its_number;
  return std::nullopt;
}

int exit_status_of_task(const nlohmann::json& task) {
  const std::string state = text_of(task, "state");
  if (state == "completed" || state == "stopped") return 0;
  const nlohmann::json& last = member_of(task, "last_exit");
  if (const auto number = signal_number(member_of(last, "signal"))) return signal_base + *number;
  return static_cast<int>(exit_code::failed);
}

}  // namespace rtd::ctl
