#include "daemon/supervisor/service_manager.h"

#include <systemd/sd-daemon.h>
#include <time.h>

#include <cstdint>

namespace rtd::supervisor::service_manager {
namespace {

// The environment is left as it is: hosts get a clean one anyway.
void tell(const std::string& message) { ::sd_notify(0, message.c_str()); }

}  // namespace

void ready() { tell("READY=1"); }

void reloading() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  const auto micros = static_cast<std::int64_t>(now.tv_sec) * 1'000'000 + now.tv_nsec / 1000;
  tell("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(micros));
}

void stopping() { tell("STOPPING=1"); }

void status(const std::string& text) { tell("STATUS=" + text); }

void alive() { tell("WATCHDOG=1"); }

std::optional<std::chrono::microseconds> watchdog_interval() {
  std::uint64_t micros = 0;
  if (::sd_watchdog_enabled(0, &micros) <= 0 || micros == 0) return std::nullopt;
  return std::chrono::microseconds(micros);
}

}  // namespace rtd::supervisor::service_manager
