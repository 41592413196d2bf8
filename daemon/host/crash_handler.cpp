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

#include "daemon/host/fixed_text.h"
#include "daemon/host/learning.h"
#include "daemon/host/report_parts.h"
#include "daemon/host/symbol_table.h"
#include "daemon/host/violation.h"
#include "runtime/context/stack_pool.h"

namespace rtd::host {

namespace {

constexpr int most_frames = 48;
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

bool add_frame(std::uintptr_t address) noexcept {
  int count = frame_count;
  if (count >= most_frames) return false;
  frames[count] = address;
  frame_count = count + 1;
  return count + 1 < most_frames;
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
  if (sigsetjmp(end_of_walk, 1) == 0) {
    walking.store(true);
    unwind_from(
        at.code, [](std::uintptr_t address, void*) { return add_frame(address); }, nullptr);
  }
  if (frame_count < 2) {
    frame_count = 0;
    if (sigsetjmp(end_of_walk, 1) == 0) walk_by_frame_pointers(at);
  }
  walking.store(false);
}

void compose(fixed_text& text, int signal, const siginfo_t& info, const registers& at) noexcept {
  bool by_process = info.si_code <= 0;  // sent by kill or raise: there is no address
  culprit who = find_culprit(by_process ? nullptr : info.si_addr);
  text.append("{\"event\":\"crash\"");
  append_text_field(text, "signal", signal_name(signal));
  append_text_field(text, "code", code_name(signal, info.si_code));
  text.append(",\"address\":\"");
  text.append_hex(by_process ? 0 : reinterpret_cast<std::uintptr_t>(info.si_addr));
  text.append("\"");
  append_culprit(text, who);
  text.append(who.overflowed ? ",\"stack_overflow\":true" : ",\"stack_overflow\":false");
  if (who.overflowed) {
    text.append(",\"stack_size\":");
    text.append_number(who.stack_size);
  }
  append_stack(text, {frames, static_cast<std::size_t>(frame_count)}, at.code, report_bytes);
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
  if (signal == SIGSYS && info->si_code == refused_by_filter) {
    auto& context = *static_cast<ucontext_t*>(context_pointer);
    if (!note_learned(*info, context)) note_violation(*info, context);
    return;
  }
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
