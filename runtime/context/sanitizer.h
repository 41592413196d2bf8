// What AddressSanitizer and ThreadSanitizer must be told about green threads.
//
// All of it is part of the switch itself (context.h), so that the instrumented builds run the same code as the others.
//
// Valgrind is told nothing. It has requests by which stacks are registered, but it remembers one current stack for all
// threads: with two Ms, a switch to the stack that the other M ran on last is taken for a huge frame, and the first
// frame after a change of threads for a switch. Both leave living frames marked as gone. Its option
// --max-stackframe=32768 says the same without that memory: slots are 64 KiB and more (stack_pool.h), so a step of over
// half a slot is a switch.
#pragma once

#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
#define RT_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define RT_ADDRESS_SANITIZER 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define RT_THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define RT_THREAD_SANITIZER 1
#endif
#endif

#if defined(RT_ADDRESS_SANITIZER)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(RT_THREAD_SANITIZER)
#include <sanitizer/tsan_interface.h>
#endif

namespace rt::detail {

#if defined(RT_ADDRESS_SANITIZER)
inline constexpr bool under_address_sanitizer = true;
#else
inline constexpr bool under_address_sanitizer = false;
#endif
#if defined(RT_THREAD_SANITIZER)
inline constexpr bool under_thread_sanitizer = true;
#else
inline constexpr bool under_thread_sanitizer = false;
#endif

/// The sanitizers' view of one flow of control: a green thread, or a kernel thread's own stack.
struct sanitizer_state {
  [[maybe_unused]] const void* stack_low = nullptr;
  [[maybe_unused]] std::size_t stack_size = 0;
#if defined(RT_ADDRESS_SANITIZER)
  void* fake_stack = nullptr;
#endif
#if defined(RT_THREAD_SANITIZER)
  void* fiber = nullptr;
#endif

  /// A green thread begins on [low, low + size): its memory may hold poison of the one before.
  void begin([[maybe_unused]] const void* low, [[maybe_unused]] std::size_t size) noexcept {
    stack_low = low;
    stack_size = size;
#if defined(RT_ADDRESS_SANITIZER)
    fake_stack = nullptr;
    __asan_unpoison_memory_region(low, size);
#endif
#if defined(RT_THREAD_SANITIZER)
    fiber = __tsan_create_fiber(0);
#endif
  }
  /// The green thread has been left for the last time, in the middle of frames that never return: they leave their
  /// poison, where the next one's closure may lie.
  void end() noexcept {
#if defined(RT_ADDRESS_SANITIZER)
    __asan_unpoison_memory_region(stack_low, stack_size);
#endif
#if defined(RT_THREAD_SANITIZER)
    __tsan_destroy_fiber(fiber);
    fiber = nullptr;
#endif
  }
  /// The calling kernel thread's own stack.
  void adopt_thread() noexcept {
#if defined(RT_THREAD_SANITIZER)
    fiber = __tsan_get_current_fiber();
#endif
  }
};

}  // namespace rt::detail
