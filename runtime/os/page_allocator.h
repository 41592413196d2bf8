// Memory for the runtime's own tables, straight from the system.
//
// The runtime must not call malloc in a critical section (os/critical_section.h): the lock of malloc may be held by a
// green thread that is frozen and waits for the very P that the caller keeps. So what grows under a lock of the
// runtime, or while the world is stopped, takes whole pages.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <new>

namespace rt::os {

/// A standard allocator of whole pages (4 KiB at least): for few and large blocks. Memory is committed by touch and
/// reads as zero. Throws std::bad_alloc.
template <class T>
struct page_allocator {
  using value_type = T;

  page_allocator() = default;
  template <class U>
  explicit(false) page_allocator(const page_allocator<U>&) noexcept {}

  static T* allocate(std::size_t count) {
    void* memory = mmap(nullptr, count * sizeof(T), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    return static_cast<T*>(memory);
  }
  static void deallocate(T* memory, std::size_t count) noexcept { munmap(memory, count * sizeof(T)); }

  template <class U>
  friend bool operator==(const page_allocator&, const page_allocator<U>&) noexcept {
    return true;
  }
};

}  // namespace rt::os
