#include "daemon/host/crash_handler.h"

#include <dlfcn.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>
#include <unwind.h>

#include <atomic>
#include <cstdint>

#include "daemon/host/crash_names.h"
#include "daemon/host/fixed_text.h"
#include "daemon/host/plugin_loader.h"
#include "daemon/host/symbol_table.h"
#include "runtime/context/stack_pool.h"
#include "runtime/sched/group.h"
#include "runtime/sched/park.h"
#include "runtime/task/task_state.h"

namespace rtd::host {

namespace {

constexpr int most_frames = 48;
constexpr std::size_t most_name_bytes = 256;
constexpr std::size_t report_bytes = 32 * 1024;
constexpr int link_patience = 500;  // ms
constexpr int handled_signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP, SIGSYS};

// A signal handler gets no argument of ours, so what it needs lies here.
link_writer* the_link = nullptr;
std::atomic<pid_t> crashed_thread{0};
sigjmp_buf end_of_walk;
std::atomic<bool> walking{false};
char report[4 + report_bytes + 1];  // the length, the text, a newline
std::uintptr_t frames[most_frames];
volatile int frame_count = 0;

pid_t own_thread() noexcept { return static_cast<pid_t>(syscall(SYS_gettid)); }

const char* signal_name(int signal) noexcept {
  switch (signal) {
    case SIGSEGV:
      return "SIGSEGV";
    case SIGBUS:
      return "SIGBUS";
    case SIGILL:
      return "SIGILL";
    case SIGFPE:
      return "SIGFPE";
    case SIGABRT:
      return "SIGABRT";
    case SIGTRAP:
      return "SIGTRAP";
    case SIGSYS:
      return "SIGSYS";
    default:
      return "unknown";
  }
}

const char* code_name(int signal, int code) noexcept {
  switch (code) {
    case SI_USER:
      return "SI_USER";
    case SI_TKILL:
      return "SI_TKILL";
    case SI_QUEUE:
      return "SI_QUEUE";
    case SI_KERNEL:
      return "SI_KERNEL";
    default:
      break;
  }
  if (signal == SIGSEGV && code == SEGV_MAPERR) return "SEGV_MAPERR";
  if (signal == SIGSEGV && code == SEGV_ACCERR) return "SEGV_ACCERR";
  if (signal == SIGBUS && code == BUS_ADRALN) return "BUS_ADRALN";
  if (signal == SIGBUS && code == BUS_ADRERR) return "BUS_ADRERR";
  if (signal == SIGBUS && code == BUS_OBJERR) return "BUS_OBJERR";
  if (signal == SIGILL && code == ILL_ILLOPC) return "ILL_ILLOPC";
  if (signal == SIGILL && code == ILL_ILLOPN) return "ILL_ILLOPN";
  if (signal == SIGFPE && code == FPE_INTDIV) return "FPE_INTDIV";
  if (signal == SIGFPE && code == FPE_INTOVF) return "FPE_INTOVF";
  if (signal == SIGTRAP && code == TRAP_BRKPT) return "TRAP_BRKPT";
  return "other";
}

struct registers {
  std::uintptr_t code;   // program counter
  std::uintptr_t stack;  // stack pointer
  std::uintptr_t frame;  // frame pointer
  std::uintptr_t back;   // where a call into nowhere would return to; 0: not known
};

// Whether eight bytes can be read. The kernel looks at the signal set before it looks at what to do with it, so a bad
// address is EFAULT and a good one EINVAL; nothing changes in either case.
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

void add_frame(std::uintptr_t address) noexcept {
  int count = frame_count;
  if (count >= most_frames) return;
  frames[count] = address;
  frame_count = count + 1;
}

// The unwinder begins in the handler itself; the frames of interest begin with the one that the signal interrupted.
struct walk_state {
  std::uintptr_t fault_code;
  bool reached;
};

_Unwind_Reason_Code look_at_frame(_Unwind_Context* context, void* argument) {
  auto& state = *static_cast<walk_state*>(argument);
  std::uintptr_t address = _Unwind_GetIP(context);
  if (address == state.fault_code) state.reached = true;
  if (state.reached && address != 0) add_frame(address);
  return frame_count >= most_frames ? _URC_END_OF_STACK : _URC_NO_REASON;
}

void walk_by_frame_pointers(const registers& at) noexcept {
  constexpr std::uintptr_t longest_step = 16U << 20U;
  add_frame(at.code);
  dl_find_object module{};
  bool in_code = _dl_find_object(reinterpret_cast<void*>(at.code), &module) == 0;
  if (!in_code && at.back != 0) add_frame(at.back);
  std::uintptr_t frame = at.frame;
  std::uintptr_t least = at.stack;
  while (frame_count < most_frames && frame >= least && frame - least < longest_step && readable(frame) &&
         readable(frame + sizeof(std::uintptr_t))) {
    auto words = reinterpret_cast<const std::uintptr_t*>(frame);
    if (words[1] == 0) break;
    add_frame(words[1]);
    least = frame + 2 * sizeof(std::uintptr_t);
    frame = words[0];
  }
}

void walk(const registers& at) noexcept {
  walk_state state{at.code, false};
  if (sigsetjmp(end_of_walk, 1) == 0) {
    walking.store(true);
    _Unwind_Backtrace(&look_at_frame, &state);
  }
  if (frame_count < 2) {
    frame_count = 0;
    if (sigsetjmp(end_of_walk, 1) == 0) walk_by_frame_pointers(at);
  }
  walking.store(false);
}

void append_text_field(fixed_text& text, const char* key, const char* value) noexcept {
  text.append(",\"");
  text.append(key);
  text.append("\":\"");
  text.append_escaped(value, most_name_bytes);
  text.append("\"");
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

void append_stack(fixed_text& text, std::uintptr_t fault_code) noexcept {
  constexpr std::size_t closing = 8;
  text.append(",\"stack\":[");
  for (int i = 0; i < frame_count; ++i) {
    std::size_t before = text.length();
    text.append(i == 0 ? "\"" : ",\"");
    append_frame(text, frames[i], i > 0 || frames[i] != fault_code);
    text.append("\"");
    if (text.overflowed() || text.length() + closing > report_bytes) {
      text.cut(before);
      break;
    }
  }
  text.append("]");
}

// Who was running: the green thread of this kernel thread, its task, or the plugin that is being loaded here.
struct culprit {
  std::uint64_t green_thread = 0;
  const char* green_thread_name = "";
  const char* task = "";
  const char* plugin = "";
  bool overflowed = false;
  std::uint64_t stack_size = 0;
};

culprit find_culprit(const void* fault_address) noexcept {
  culprit found;
  found.plugin = plugin_being_loaded();
  const rt::detail::green_thread* current = rt::detail::current_green_thread();
  if (current == nullptr) return found;
  found.green_thread = current->id;
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

void compose(fixed_text& text, int signal, const siginfo_t& info, const registers& at) noexcept {
  bool by_process = info.si_code <= 0;  // sent by kill or raise: there is no address
  culprit who = find_culprit(by_process ? nullptr : info.si_addr);
  text.append("{\"event\":\"crash\"");
  append_text_field(text, "signal", signal_name(signal));
  append_text_field(text, "code", code_name(signal, info.si_code));
  text.append(",\"address\":\"");
  text.append_hex(by_process ? 0 : reinterpret_cast<std::uintptr_t>(info.si_addr));
  text.append("\",\"green_thread\":");
  text.append_number(who.green_thread);
  append_text_field(text, "green_thread_name", who.green_thread_name);
  append_text_field(text, "task", who.task);
  append_text_field(text, "plugin", who.plugin);
  text.append(who.overflowed ? ",\"stack_overflow\":true" : ",\"stack_overflow\":false");
  if (who.overflowed) {
    text.append(",\"stack_size\":");
    text.append_number(who.stack_size);
  }
  append_stack(text, at.code);
  text.append("}");
}

void send_report(int signal, const siginfo_t& info, const registers& at) noexcept {
  fixed_text text(report + 4, report_bytes);
  compose(text, signal, info, at);
  std::size_t length = text.length();
  for (unsigned i = 0; i < 4; ++i) report[i] = static_cast<char>((length >> (8 * i)) & 0xFF);
  bool sent = the_link->seize(link_patience) && the_link->write_seized(report, length + 4, link_patience);
  if (sent) return;
  // Standard error is read by the supervisor as well.
  report[4 + length] = '\n';
  ssize_t ignored = write(STDERR_FILENO, report + 4, length + 1);
  static_cast<void>(ignored);
}

void restore_default(int signal) noexcept {
  struct sigaction standard {};
  standard.sa_handler = SIG_DFL;
  sigaction(signal, &standard, nullptr);
}

void on_signal(int signal, siginfo_t* info, void* context_pointer) {
  pid_t self = own_thread();
  pid_t nobody = 0;
  if (!crashed_thread.compare_exchange_strong(nobody, self)) {
    if (nobody == self) {
      if (walking.load()) siglongjmp(end_of_walk, 1);
      restore_default(signal);  // the report itself failed
      return;
    }
    for (int i = 0; i < 5000; ++i) {
      timespec length{0, 1'000'000};
      nanosleep(&length, nullptr);
    }
    restore_default(signal);
    return;
  }
  crash_symbols().enter_crash();
  registers at = registers_of(*static_cast<ucontext_t*>(context_pointer));
  walk(at);
  send_report(signal, *info, at);

  restore_default(signal);
  // A fault happens again when its instruction is run again. A signal that somebody sent has to be sent again; it
  // arrives when the handler returns.
  if (info->si_code <= 0) syscall(SYS_tgkill, getpid(), self, signal);
}

}  // namespace

void install_crash_handler(link_writer& link) {
  the_link = &link;
  // The unwinder prepares its tables at its first use.
  _Unwind_Backtrace([](_Unwind_Context*, void*) { return _URC_NO_REASON; }, nullptr);
  static_cast<void>(rt::detail::stacks());

  struct sigaction action {};
  action.sa_sigaction = &on_signal;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  sigfillset(&action.sa_mask);
  for (int signal : handled_signals) sigdelset(&action.sa_mask, signal);
  for (int signal : handled_signals) sigaction(signal, &action, nullptr);
}

}  // namespace rtd::host
