// Preemption by signal; see preempt.cpp.
#pragma once

#include <csignal>

namespace rt::detail {

/// The handler of os::preempt_signal.
void on_preempt_signal(int signal, siginfo_t* info, void* context) noexcept;

}  // namespace rt::detail
