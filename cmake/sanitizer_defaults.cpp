// Defaults of the sanitizers for every program of an instrumented build. The environment (ASAN_OPTIONS, …) overrides
// them.
//
// A frame that ASan moves to its fake stack would lie outside the green thread's own stack, so that is off. A green
// thread's stack is not a root for the leak checker; what only a parked green thread refers to would be called a leak.
// A host leaves without joining its threads (daemon/host/main.cpp), which ThreadSanitizer would call a leak as well.

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define RTD_ADDRESS_SANITIZER
#elif __has_feature(thread_sanitizer)
#define RTD_THREAD_SANITIZER
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define RTD_ADDRESS_SANITIZER
#elif defined(__SANITIZE_THREAD__)
#define RTD_THREAD_SANITIZER
#endif

extern "C" {
#ifdef RTD_ADDRESS_SANITIZER
__attribute__((used, visibility("default"))) const char* __asan_default_options() {
  return "detect_stack_use_after_return=0:detect_leaks=0:strict_init_order=1:check_initialization_order=1";
}
__attribute__((used, visibility("default"))) const char* __ubsan_default_options() {
  return "print_stacktrace=1:halt_on_error=1";
}
#endif
#ifdef RTD_THREAD_SANITIZER
__attribute__((used, visibility("default"))) const char* __tsan_default_options() {
  return "halt_on_error=1:second_deadlock_stack=1:history_size=4:report_thread_leaks=0";
}
#endif
}
