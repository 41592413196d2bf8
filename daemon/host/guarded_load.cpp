#include "daemon/host/guarded_load.h"

#include <cxxabi.h>
#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <unwind.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <new>
#include <system_error>

#include "daemon/host/host_thread.h"
#include "runtime/task/exception_text.h"

extern "C" __attribute__((weak)) void __asan_handle_no_return();

namespace rtd::host {

namespace {

struct load_request {
  const std::string* path;
  load_outcome outcome;
};

// The load that runs now. Written by its thread alone, and compared with pthread_self() by whoever terminates.
std::atomic<load_request*> current_request{nullptr};
std::atomic<pthread_t> current_thread{};
std::terminate_handler former_handler = nullptr;

#if defined(__x86_64__)
constexpr int kept_registers[] = {3, 6, 12, 13, 14, 15};  // rbx rbp r12 r13 r14 r15, in the numbering of DWARF
#elif defined(__aarch64__)
// x19 to x30, d8 to d15
constexpr int kept_registers[] = {19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 72, 73, 74, 75, 76, 77, 78, 79};
#endif
constexpr std::size_t kept_count = sizeof kept_registers / sizeof kept_registers[0];

// Where to go on, and with which registers.
struct return_point {
  std::uintptr_t address = 0;
  std::uintptr_t stack = 0;
  std::uintptr_t registers[kept_count]{};
  std::uintptr_t loader_begin = 0;
  std::uintptr_t loader_end = 0;
};

_Unwind_Reason_Code look_at_frame(_Unwind_Context* context, void* argument) {
  auto& point = *static_cast<return_point*>(argument);
  std::uintptr_t address = _Unwind_GetIP(context);
  if (address < point.loader_begin || address >= point.loader_end) return _URC_NO_REASON;
  // At this moment the context describes the loader's frame as it will be when the call of the constructor returns; the
  // frame address is the stack pointer then.
  point.address = address;
  point.stack = _Unwind_GetCFA(context);
  for (std::size_t i = 0; i < kept_count; ++i) point.registers[i] = _Unwind_GetGR(context, kept_registers[i]);
  return _URC_END_OF_STACK;
}

#if defined(__x86_64__)
[[noreturn]] void go_on(const return_point& point) {
  asm volatile(
      "movq 16(%0), %%rbx\n\t"
      "movq 24(%0), %%rbp\n\t"
      "movq 32(%0), %%r12\n\t"
      "movq 40(%0), %%r13\n\t"
      "movq 48(%0), %%r14\n\t"
      "movq 56(%0), %%r15\n\t"
      "movq 8(%0), %%rsp\n\t"
      "jmp *0(%0)\n\t"
      :
      : "d"(&point)
      : "memory");
  __builtin_unreachable();
}
#elif defined(__aarch64__)
[[noreturn]] void go_on(const return_point& point) {
  // By ret, which may go anywhere where branch targets are enforced.
  asm volatile(
      "mov x9, %0\n\t"
      "ldp x19, x20, [x9, #16]\n\t"
      "ldp x21, x22, [x9, #32]\n\t"
      "ldp x23, x24, [x9, #48]\n\t"
      "ldp x25, x26, [x9, #64]\n\t"
      "ldp x27, x28, [x9, #80]\n\t"
      "ldr x29, [x9, #96]\n\t"
      "ldp d8, d9, [x9, #112]\n\t"
      "ldp d10, d11, [x9, #128]\n\t"
      "ldp d12, d13, [x9, #144]\n\t"
      "ldp d14, d15, [x9, #160]\n\t"
      "ldr x10, [x9, #8]\n\t"
      "mov sp, x10\n\t"
      "ldr x30, [x9, #0]\n\t"
      "ret\n\t"
      :
      : "r"(&point)
      : "memory");
  __builtin_unreachable();
}
#endif

// Gives up the frames between here and the loader. Returns only when the loader is not among the callers.
void return_to_loader() {
  return_point point;
  dl_find_object loader{};
  if (_dl_find_object(reinterpret_cast<void*>(_r_debug.r_ldbase), &loader) != 0) return;
  point.loader_begin = reinterpret_cast<std::uintptr_t>(loader.dlfo_map_start);
  point.loader_end = reinterpret_cast<std::uintptr_t>(loader.dlfo_map_end);
  _Unwind_Backtrace(&look_at_frame, &point);
  if (point.address == 0) return;
  if (&__asan_handle_no_return != nullptr) __asan_handle_no_return();
  go_on(point);
}

[[noreturn]] void on_terminate() {
  if (is_loading_thread()) {
    load_request* request = current_request.load();
    if (!request->outcome.constructor_threw) {  // later constructors may throw because of the first one's failure
      request->outcome.constructor_threw = true;
      request->outcome.constructor_error = "std::terminate was called";
      if (std::exception_ptr error = std::current_exception()) {
        request->outcome.constructor_error = rt::detail::exception_text(error);
      }
    }
    // The exception counts as caught since the search for a handler ended; this lets go of it while its type is loaded.
    if (std::current_exception() != nullptr) abi::__cxa_end_catch();
    return_to_loader();
  }
  if (former_handler != nullptr) former_handler();
  std::abort();
}

void load(load_request& request) {
  dlerror();
  void* handle = dlopen(request.path->c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    const char* text = dlerror();
    request.outcome.loader_error = text == nullptr ? "the loader gave no reason" : text;
    return;
  }
  if (!request.outcome.constructor_threw) {
    request.outcome.handle = handle;
    return;
  }
  dlclose(handle);
  // Objects with unique symbols (statics of inline functions and templates) stay for ever.
  void* resident = dlopen(request.path->c_str(), RTLD_NOW | RTLD_NOLOAD);
  request.outcome.still_resident = resident != nullptr;
  if (resident != nullptr) dlclose(resident);
}

// No handler and nothing noexcept may stand between here and dlopen: see above.
void* thread_main(void* argument) {
  signal_stack alternate;
  pthread_setname_np(pthread_self(), "rtd-load");
  auto& request = *static_cast<load_request*>(argument);
  current_thread.store(pthread_self());
  current_request.store(&request);
  load(request);
  current_request.store(nullptr);
  return nullptr;
}

}  // namespace

load_outcome guarded_load(const std::string& path) {
  load_request request{&path, {}};
  pthread_t thread;
  int error = pthread_create(&thread, nullptr, &thread_main, &request);
  if (error != 0) throw std::system_error(error, std::generic_category(), "a thread to load " + path);
  pthread_join(thread, nullptr);
  return std::move(request.outcome);
}

bool is_loading_thread() noexcept {
  return current_request.load() != nullptr && pthread_equal(current_thread.load(), pthread_self()) != 0;
}

void install_terminate_handler() noexcept { former_handler = std::set_terminate(&on_terminate); }

}  // namespace rtd::host
