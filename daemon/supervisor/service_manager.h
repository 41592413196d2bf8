// Messages to the service manager (systemd) that started the daemon; without one they do nothing.
#pragma once

#include <chrono>
#include <optional>
#include <string>

namespace rtd::supervisor::service_manager {

/// READY=1, also at the end of a reload.
void ready();
/// RELOADING=1 with the time stamp that systemd 253 and later wait for.
void reloading();
/// STOPPING=1.
void stopping();
/// The line that `systemctl status` shows.
void status(const std::string& text);
/// WATCHDOG=1.
void alive();
/// How often alive() is expected at the latest; nothing when the watchdog is off.
std::optional<std::chrono::microseconds> watchdog_interval();

}  // namespace rtd::supervisor::service_manager
