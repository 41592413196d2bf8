#include "daemon/host/report_parts.h"

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <unwind.h>

#include "daemon/host/crash_names.h"
#include "daemon/host/plugin_loader.h"
#include "runtime/context/stack_pool.h"
#include "runtime/sched/group.h"
#include "runtime/sched/park.h"
#include "runtime/task/task_state.h"

namespace rtd::host {

namespace {

constexpr std::size_t most_name_bytes = 256;

// The unwinder begins in the handler itself; the frames of interest begin with the one that the signal interrupted.
struct walk_state {
  std::uintptr_t start;
  bool (*take)(std::uintptr_t, void*);
  void* argument;
  bool reached;
};

_Unwind_Reason_Code look_at_frame(_Unwind_Context* context, void* argument) {
  auto& state = *static_cast<walk_state*>(argument);
  std::uintptr_t address = _Unwind_GetIP(context);
  if (address == state.start) state.reached = true;
  if (!state.reached || address == 0) return _URC_NO_REASON;
  return state.take(address, state.argument) ? _URC_NO_REASON : _URC_END_OF_STACK;
}

void append_frame(fixed_text& text, std::uintptr_t address, bool is_return_address) noexcept {
  // A return address may be the first of the next function, when the call was the last instruction.
  code_place place = describe_code(is_return_address ? address - 1 : address);
  std::uint64_t back = is_return_address ? 1 : 0;
  if (place.module == nullptr) {
    text.append_hex(address);
    return;
  }
  if (place.function != nullptr) {
    text.append_escaped(place.function, most_name_bytes);
    text.append("+");
    text.append_hex(place.function_offset + back);
  } else {
    text.append_hex(place.module_offset + back);
  }
  text.append(" (");
  text.append_escaped(place.module, most_name_bytes);
  text.append(")");
}

}  // namespace

// The kernel looks at the signal set before it looks at what to do with it, so a bad address is EFAULT and a good one
// EINVAL; nothing changes in either case.
bool readable(std::uintptr_t address) noexcept {
  if (address % sizeof(std::uintptr_t) != 0) return false;
  constexpr int no_such_operation = -1;
  long outcome = syscall(SYS_rt_sigprocmask, no_such_operation, address, nullptr, 8);
  return outcome == 0 || errno != EFAULT;
}

registers registers_of(const ucontext_t& context) noexcept {
  registers all{};
#if defined(__x86_64__)
  all.code = static_cast<std::uintptr_t>(context.uc_mcontext.gregs[REG_RIP]);
  all.stack = static_cast<std::uintptr_t>(context.uc_mcontext.gregs[REG_RSP]);
  all.frame = static_cast<std::uintptr_t>(context.uc_mcontext.gregs[REG_RBP]);
  if (readable(all.stack)) all.back = *reinterpret_cast<const std::uintptr_t*>(all.stack);
#elif defined(__aarch64__)
  all.code = context.uc_mcontext.pc;
  all.stack = context.uc_mcontext.sp;
  all.frame = context.uc_mcontext.regs[29];
  all.back = context.uc_mcontext.regs[30];
#endif
  return all;
}

void unwind_from(std::uintptr_t code, bool (*take)(std::uintptr_t, void*), void* argument) noexcept {
  walk_state state{code, take, argument, false};
  _Unwind_Backtrace(&look_at_frame, &state);
}

culprit find_culprit(const void* fault_address) noexcept {
  culprit found;
  found.plugin = plugin_being_loaded();
  const rt::detail::green_thread* current = rt::detail::current_green_thread();
  if (current == nullptr) return found;
  found.green_thread = current->id.load(std::memory_order_relaxed);
  if (const char* name = current->name.load(std::memory_order_relaxed)) found.green_thread_name = name;
  if (const rt::detail::group* group = current->member_of.load(std::memory_order_relaxed)) {
    found.task = group->name.c_str();
    if (group->owner != nullptr) {
      found.plugin = static_cast<const rt::detail::task_state*>(group->owner)->identity().plugin.c_str();
    }
  }
  rt::detail::stack_address place;
  if (rt::detail::stacks().find(fault_address, place) && place.in_guard && place.base == current->stack_base) {
    found.overflowed = true;
    found.stack_size = place.size;
  }
  return found;
}

void append_text_field(fixed_text& text, const char* key, const char* value) noexcept {
  text.append(",\"");
  text.append(key);
  text.append("\":\"");
  text.append_escaped(value, most_name_bytes);
  text.append("\"");
}

void append_culprit(fixed_text& text, const culprit& who) noexcept {
  text.append(",\"green_thread\":");
  text.append_number(who.green_thread);
  append_text_field(text, "green_thread_name", who.green_thread_name);
  append_text_field(text, "task", who.task);
  append_text_field(text, "plugin", who.plugin);
}

void append_stack(fixed_text& text, std::span<const std::uintptr_t> frames, std::uintptr_t interrupted,
                  std::size_t room) noexcept {
  constexpr std::size_t closing = 8;
  text.append(",\"stack\":[");
  for (std::size_t i = 0; i < frames.size(); ++i) {
    std::size_t before = text.length();
    text.append(i == 0 ? "\"" : ",\"");
    append_frame(text, frames[i], i > 0 || frames[i] != interrupted);
    text.append("\"");
    if (text.overflowed() || text.length() + closing > room) {
      text.cut(before);
      break;
    }
  }
  text.append("]");
}

}  // namespace rtd::host
