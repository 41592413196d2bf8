// A system call that a filter handed to a signal handler: its arguments and its result.
#pragma once

#include <ucontext.h>

#include <cstdint>

namespace rtd::host {

#if defined(__x86_64__)
inline std::uint64_t call_argument(const ucontext_t& context, int index) noexcept {
  constexpr int registers[] = {REG_RDI, REG_RSI, REG_RDX, REG_R10, REG_R8, REG_R9};
  return static_cast<std::uint64_t>(context.uc_mcontext.gregs[registers[index]]);
}
inline void set_call_result(ucontext_t& context, long result) noexcept { context.uc_mcontext.gregs[REG_RAX] = result; }
#elif defined(__aarch64__)
inline std::uint64_t call_argument(const ucontext_t& context, int index) noexcept {
  return context.uc_mcontext.regs[index];
}
inline void set_call_result(ucontext_t& context, long result) noexcept {
  context.uc_mcontext.regs[0] = static_cast<unsigned long long>(result);
}
#endif

}  // namespace rtd::host
