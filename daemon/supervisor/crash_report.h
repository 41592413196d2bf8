// The report that a host's signal handler writes just before the host dies. The process that writes it is broken by
// definition, and perhaps hostile: every member is checked and bounded.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace rtd::supervisor {

/// The checked report: signal, code, address, green_thread, task, plugin, stack_overflow, stack.
nlohmann::json checked_crash_report(const nlohmann::json& event);

/// "SIGSEGV (SEGV_MAPERR) at 0x0 in task greeter, plugin hello, green thread 7: serve+0x1f (hello.so)"
std::string describe_crash(const nlohmann::json& report);

}  // namespace rtd::supervisor
