// What AddressSanitizer is told: free slots, the unused tails of slots, and free pages must not be touched.
#pragma once

#include <cstddef>
#include <cstring>

#include "rt/make.h"

#if defined(RT_ADDRESS_SANITIZER)
#include <sanitizer/asan_interface.h>
#endif
#if defined(__SANITIZE_THREAD__)
#define RT_HEAP_UNDER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define RT_HEAP_UNDER_TSAN 1
#endif
#endif

namespace rt::detail {

#if defined(RT_HEAP_UNDER_TSAN)
inline constexpr bool heap_under_thread_sanitizer = true;
#else
inline constexpr bool heap_under_thread_sanitizer = false;
#endif

#if defined(RT_ADDRESS_SANITIZER)
inline constexpr bool poisons_memory = true;
#else
inline constexpr bool poisons_memory = false;
#endif

inline void poison([[maybe_unused]] void* begin, [[maybe_unused]] std::size_t size) noexcept {
#if defined(RT_ADDRESS_SANITIZER)
  ASAN_POISON_MEMORY_REGION(begin, size);
#endif
}
inline void unpoison([[maybe_unused]] void* begin, [[maybe_unused]] std::size_t size) noexcept {
#if defined(RT_ADDRESS_SANITIZER)
  ASAN_UNPOISON_MEMORY_REGION(begin, size);
#endif
}
/// Fills free memory, which stays poisoned.
inline void fill_free(void* begin, int byte, std::size_t size) noexcept {
  unpoison(begin, size);
  std::memset(begin, byte, size);
  poison(begin, size);
}

}  // namespace rt::detail
