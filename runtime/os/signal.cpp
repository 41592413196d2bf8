#include "runtime/os/signal.h"

#include <sys/resource.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <ctime>

#if defined(__SANITIZE_THREAD__)
#include <link.h>
#include <sanitizer/tsan_interface.h>
#include <sys/auxv.h>
#endif

// What the kernel returns to after a handler; the C library's own cannot be named. Unwinders know a signal's frame by
// these very bytes, and look one byte before a return address for the function that it belongs to.
#if defined(__x86_64__)
extern "C" void rt_signal_return();
asm(R"(
    .text
    .globl rt_signal_return
    .hidden rt_signal_return
    .type rt_signal_return, @function
    nop
rt_signal_return:
    movq $15, %rax
    syscall
    .size rt_signal_return, . - rt_signal_return
)");
#endif

// signal_entry.cpp
extern "C" std::uintptr_t rt_no_stop_begin[4];
extern "C" std::uintptr_t rt_no_stop_end[4];
extern "C" void (*rt_preempt_handler)(int, siginfo_t*, void*);
extern "C" void rt_preempt_entry(int signal, siginfo_t* info, void* context);

namespace rt::os {

namespace {

// The kernel's struct sigaction, which differs from the C library's.
struct kernel_action {
  void (*handler)(int, siginfo_t*, void*);
  unsigned long flags;
  void (*restorer)();  // there on 64-bit ARM as well, where it is not used
  std::uint64_t mask;
};

kernel_action previous{};

long exchange_action(const kernel_action* fresh, kernel_action* old) noexcept {
  return syscall(SYS_rt_sigaction, preempt_signal, fresh, old, sizeof(std::uint64_t));
}

#if defined(__SANITIZE_THREAD__)
// A thread must not be stopped in ThreadSanitizer's own code, which may hold locks that every thread needs; nor in what
// that code calls, which is the C library, the dynamic linker and the kernel's clock: in the middle of a function that
// it has in its place (pthread_create, which has the linker look for symbols) it sees no synchronisation by the calling
// thread, so that the P that is handed on there would seem to be used by two threads at once.
void note_code_of(std::uintptr_t inside, int place) noexcept {
  if (inside == 0) return;  // the process has none
  struct search {
    std::uintptr_t inside;
    int place;
  } wanted{inside, place};
  dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* wanted_pointer) {
        const search& one = *static_cast<const search*>(wanted_pointer);
        const ElfW(Phdr)* code = nullptr;
        bool found = false;
        for (int i = 0; i < info->dlpi_phnum; ++i) {
          const ElfW(Phdr)& part = info->dlpi_phdr[i];
          if (part.p_type != PT_LOAD) continue;
          std::uintptr_t begin = info->dlpi_addr + part.p_vaddr;
          found = found || (one.inside >= begin && one.inside < begin + part.p_memsz);
          if ((part.p_flags & PF_X) != 0) code = &part;
        }
        if (!found || code == nullptr) return 0;
        rt_no_stop_begin[one.place] = info->dlpi_addr + code->p_vaddr;
        rt_no_stop_end[one.place] = rt_no_stop_begin[one.place] + code->p_memsz;
        return 1;
      },
      &wanted);
}

void find_sanitizer_code() noexcept {
  note_code_of(reinterpret_cast<std::uintptr_t>(&__tsan_acquire), 0);
  note_code_of(reinterpret_cast<std::uintptr_t>(&getauxval), 1);  // which the sanitizer has no function in the place of
  note_code_of(getauxval(AT_BASE), 2);                            // the dynamic linker
  note_code_of(getauxval(AT_SYSINFO_EHDR), 3);                    // the kernel's part of the process
  // A sanitizer that is linked into the program is not told apart from it: nothing is stopped then.
  auto own = reinterpret_cast<std::uintptr_t>(&install_preempt_handler);
  if (own >= rt_no_stop_begin[0] && own < rt_no_stop_end[0]) {
    rt_no_stop_begin[0] = 0;
    rt_no_stop_end[0] = UINTPTR_MAX;
  }
}
#endif

}  // namespace

bool install_preempt_handler(void (*handler)(int, siginfo_t*, void*)) noexcept {
#if defined(__SANITIZE_THREAD__)
  find_sanitizer_code();
#endif
  rt_preempt_handler = handler;
  kernel_action fresh{};
  fresh.handler = &rt_preempt_entry;
  fresh.flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
#if defined(__x86_64__)
  constexpr unsigned long has_restorer = 0x04000000;  // SA_RESTORER, which the C library's headers do not show
  fresh.flags |= has_restorer;
  fresh.restorer = &rt_signal_return;
#endif
  return exchange_action(&fresh, &previous) == 0;
}

void remove_preempt_handler() noexcept {
  exchange_action(&previous, nullptr);
  previous = {};
}

void call_previous_preempt_handler(int signal, siginfo_t* info, void* context) noexcept {
  auto as_word = reinterpret_cast<std::uintptr_t>(previous.handler);
  if (as_word == reinterpret_cast<std::uintptr_t>(SIG_DFL) || as_word == reinterpret_cast<std::uintptr_t>(SIG_IGN)) {
    return;
  }
  previous.handler(signal, info, context);
}

void send_preempt_signal(pthread_t thread) noexcept { pthread_kill(thread, preempt_signal); }

interrupted_state state_of(const void* context) noexcept {
  const mcontext_t& machine = static_cast<const ucontext_t*>(context)->uc_mcontext;
#if defined(__x86_64__)
  return {static_cast<std::uintptr_t>(machine.gregs[REG_RIP]), static_cast<std::uintptr_t>(machine.gregs[REG_RSP]),
          static_cast<std::uintptr_t>(machine.gregs[REG_RBP])};
#else
  return {machine.pc, machine.sp, machine.regs[29]};
#endif
}

saved_registers registers_of(const void* context) noexcept {
  // The kernel's frame lies at the top of the alternate stack: the vector registers above the context.
  const stack_t& stack = static_cast<const ucontext_t*>(context)->uc_stack;
  const char* low = static_cast<const char*>(context);
  const char* high = static_cast<const char*>(stack.ss_sp) + stack.ss_size;
  if (low < stack.ss_sp || low >= high) high = low + sizeof(ucontext_t);
  return {low, high};
}

std::int64_t voluntary_sleeps() noexcept {
  rusage usage;
  return getrusage(RUSAGE_THREAD, &usage) == 0 ? usage.ru_nvcsw : 0;
}

std::int64_t thread_cpu_time(clockid_t clock) noexcept {
  timespec used;
  if (clock_gettime(clock, &used) != 0) return -1;
  return static_cast<std::int64_t>(used.tv_sec) * 1'000'000'000 + used.tv_nsec;
}

}  // namespace rt::os
