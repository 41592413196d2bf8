// The first instructions of the preemption handler.
//
// Compiled without any sanitizer's instrumentation, and without inline functions that other files might share: a signal
// may come in the middle of ThreadSanitizer's own code, where instrumented code must not run.
#include <csignal>
#include <cstdint>

#include <ucontext.h>

extern "C" {

// Set by os/signal.cpp before the handler is installed.
std::uintptr_t rt_no_stop_begin[4] = {0, 0, 0, 0};
std::uintptr_t rt_no_stop_end[4] = {0, 0, 0, 0};
void (*rt_preempt_handler)(int, siginfo_t*, void*) = nullptr;

void rt_preempt_entry(int signal, siginfo_t* info, void* context) {
  const mcontext_t& machine = static_cast<const ucontext_t*>(context)->uc_mcontext;
#if defined(__x86_64__)
  auto code = static_cast<std::uintptr_t>(machine.gregs[REG_RIP]);
#else
  auto code = static_cast<std::uintptr_t>(machine.pc);
#endif
  for (int i = 0; i < 4; ++i) {
    if (code >= rt_no_stop_begin[i] && code < rt_no_stop_end[i]) return;
  }
  rt_preempt_handler(signal, info, context);
}

}  // extern "C"
