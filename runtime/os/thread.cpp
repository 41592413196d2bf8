#include "runtime/os/thread.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <initializer_list>

#include "runtime/os/memory.h"

namespace rt::os {

namespace {

// The scheduler's loop and the callbacks of timers run on it; sanitizers need several times more.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr std::size_t worker_stack = 1024 * 1024;
#elif defined(__clang__)
constexpr std::size_t worker_stack = 1024 * 1024;
#else
constexpr std::size_t worker_stack = 256 * 1024;
#endif
// A crash report walks frames and formats text: a few KiB, and the kernel's own frame with AVX-512 state is 3 KiB.
constexpr std::size_t signal_stack_size = 64 * 1024;

}  // namespace

bool start_thread(pthread_t& thread, void* (*main)(void*), void* argument) noexcept {
  pthread_attr_t attributes;
  if (pthread_attr_init(&attributes) != 0) return false;
  pthread_attr_setstacksize(&attributes, worker_stack);
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  for (int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS, SIGPROF, SIGURG}) sigdelset(&all, fault);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int outcome = pthread_create(&thread, &attributes, main, argument);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_attr_destroy(&attributes);
  return outcome == 0;
}

bool join_thread(pthread_t thread, std::int64_t timeout) noexcept {
  timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_sec += static_cast<time_t>(timeout / 1'000'000'000);
  until.tv_nsec += static_cast<long>(timeout % 1'000'000'000);
  if (until.tv_nsec >= 1'000'000'000) {
    until.tv_nsec -= 1'000'000'000;
    ++until.tv_sec;
  }
  return pthread_timedjoin_np(thread, nullptr, &until) == 0;
}

bool is_runnable(clockid_t cpu_clock) noexcept {
  // In the kernel's numbers of such clocks the thread's is complemented, above three bits that say what it counts.
  const int thread = ~(cpu_clock >> 3);
  char path[48];
  std::snprintf(path, sizeof path, "/proc/self/task/%d/stat", thread);
  const int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return false;
  char text[128];
  const ssize_t length = read(file, text, sizeof text - 1);
  close(file);
  if (length <= 0) return false;
  text[length] = '\0';
  // "1234 (name) R ...": a name may have anything in it.
  const char* after_name = std::strrchr(text, ')');
  return after_name != nullptr && after_name[1] == ' ' && after_name[2] == 'R';
}

void prepare_worker_thread(const char* name) noexcept {
  pthread_setname_np(pthread_self(), name);
  prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
}

thread_stack current_thread_stack() noexcept {
  pthread_attr_t attributes;
  thread_stack stack{nullptr, 0};
  if (pthread_getattr_np(pthread_self(), &attributes) != 0) return stack;
  pthread_attr_getstack(&attributes, &stack.low, &stack.size);
  pthread_attr_destroy(&attributes);
  return stack;
}

void* install_signal_stack() noexcept {
  std::size_t guard = page_size();
  void* memory = mmap(nullptr, guard + signal_stack_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  mprotect(memory, guard, PROT_NONE);
  stack_t stack{};
  stack.ss_sp = static_cast<char*>(memory) + guard;
  stack.ss_size = signal_stack_size;
  if (sigaltstack(&stack, nullptr) != 0) {
    munmap(memory, guard + signal_stack_size);
    return nullptr;
  }
  return memory;
}

void remove_signal_stack(void* stack) noexcept {
  if (stack == nullptr) return;
  stack_t none{};
  none.ss_flags = SS_DISABLE;
  sigaltstack(&none, nullptr);
  munmap(stack, page_size() + signal_stack_size);
}

}  // namespace rt::os
