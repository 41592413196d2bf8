// Where the instrumentation of the code under test leads: the functions that a compiler calls when it compiles with
// -fsanitize=thread. They are defined here instead of by the race detector's library. Outside of an execution, and in
// the checker's own code, they do what the plain operation does.
//
// One rule of the house is built in: an acquiring exchange of 1 is an attempt to take a lock (os/spin_lock.h). While
// the word holds 1 it would fail, and its thread would spin; the model lets it wait, which is the same and saves all
// the executions that differ by the number of failures.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>

#include "tests/model/checker/execution.h"

using rt_model::current_execution;
using rt_model::execution;
using rt_model::operation;
using rt_model::step;

namespace {

operation make(step what, const volatile void* address, std::size_t size, int order, void* site) {
  operation one;
  one.what = what;
  one.address = address;
  one.size = static_cast<std::uint8_t>(size);
  one.order = order;
  one.failure_order = order;
  one.site = reinterpret_cast<std::uintptr_t>(site);
  return one;
}

template <class Word>
Word atomic_load(const volatile Word* address, int order, void* site) {
  execution* run = current_execution();
  if (run == nullptr) return __atomic_load_n(address, __ATOMIC_SEQ_CST);
  return static_cast<Word>(run->load(make(step::load, address, sizeof(Word), order, site)));
}
template <class Word>
void atomic_store(volatile Word* address, Word value, int order, void* site) {
  execution* run = current_execution();
  if (run == nullptr) {
    __atomic_store_n(address, value, __ATOMIC_SEQ_CST);
  } else {
    run->store(make(step::store, address, sizeof(Word), order, site), value);
  }
}
template <class Word, class Change>
Word atomic_change(volatile Word* address, int order, void* site, bool lock, const Change& change) {
  execution* run = current_execution();
  if (run == nullptr) {
    Word before = __atomic_load_n(address, __ATOMIC_SEQ_CST);
    while (!__atomic_compare_exchange_n(address, &before, change(before), false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
    }
    return before;
  }
  operation one = make(step::exchange, address, sizeof(Word), order, site);
  one.lock = lock;
  return static_cast<Word>(
      run->exchange(one, [&](std::uint64_t before) -> std::uint64_t { return change(static_cast<Word>(before)); }));
}
template <class Word>
bool atomic_compare_exchange(volatile Word* address, Word* expected, Word wanted, int order, int failure_order,
                             bool weak, void* site) {
  execution* run = current_execution();
  if (run == nullptr) {
    return __atomic_compare_exchange_n(address, expected, wanted, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
  }
  operation one = make(step::compare_exchange, address, sizeof(Word), order, site);
  one.failure_order = failure_order;
  one.weak = weak;
  std::uint64_t found = *expected;
  bool success = run->compare_exchange(one, found, wanted);
  if (!success) *expected = static_cast<Word>(found);
  return success;
}

void plain(const volatile void* address, std::size_t size, bool write, void* site) {
  if (execution* run = current_execution(); run != nullptr) {
    run->plain(address, size, write, reinterpret_cast<std::uintptr_t>(site));
  }
}

void* allocate(std::size_t size, std::size_t align) {
  if (current_execution() == nullptr) {
    return align <= alignof(std::max_align_t) ? std::malloc(size == 0 ? 1 : size)
                                              : std::aligned_alloc(align, (size + align - 1) / align * align);
  }
  void* memory = rt_model::arena_allocate(size == 0 ? 1 : size, align < 16 ? 16 : align);
  if (memory == nullptr) return nullptr;
  std::memset(memory, 0xcd, size);
  return memory;
}
void* allocate_or_throw(std::size_t size, std::size_t align) {
  void* memory = allocate(size, align);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

void give_back(void* memory, void* site) noexcept {
  if (memory == nullptr) return;
  if (!rt_model::arena_owns(memory)) {
    std::free(memory);
    return;
  }
  if (execution* run = current_execution(); run != nullptr) {
    run->freed(memory, rt_model::arena_size(memory), reinterpret_cast<std::uintptr_t>(site));
  }
}

}  // namespace

#define RT_SITE __builtin_return_address(0)

extern "C" {

void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}

#define RT_PLAIN(bytes)                                                           \
  void __tsan_read##bytes(void* a) { plain(a, bytes, false, RT_SITE); }           \
  void __tsan_write##bytes(void* a) { plain(a, bytes, true, RT_SITE); }           \
  void __tsan_unaligned_read##bytes(void* a) { plain(a, bytes, false, RT_SITE); } \
  void __tsan_unaligned_write##bytes(void* a) { plain(a, bytes, true, RT_SITE); } \
  void __tsan_read_write##bytes(void* a) { plain(a, bytes, true, RT_SITE); }      \
  void __tsan_unaligned_read_write##bytes(void* a) { plain(a, bytes, true, RT_SITE); }
RT_PLAIN(1)
RT_PLAIN(2)
RT_PLAIN(4)
RT_PLAIN(8)
RT_PLAIN(16)
#undef RT_PLAIN

void __tsan_read_range(void* a, unsigned long size) {
  if (size != 0) plain(a, size, false, RT_SITE);
}
void __tsan_write_range(void* a, unsigned long size) {
  if (size != 0) plain(a, size, true, RT_SITE);
}
void __tsan_vptr_update(void** a, void*) { plain(a, sizeof(void*), true, RT_SITE); }
void __tsan_vptr_read(void** a) { plain(a, sizeof(void*), false, RT_SITE); }

void* __tsan_memcpy(void* to, const void* from, unsigned long size) {
  if (size != 0) {
    plain(from, size, false, RT_SITE);
    plain(to, size, true, RT_SITE);
  }
  return std::memcpy(to, from, size);
}
void* __tsan_memmove(void* to, const void* from, unsigned long size) {
  if (size != 0) {
    plain(from, size, false, RT_SITE);
    plain(to, size, true, RT_SITE);
  }
  return std::memmove(to, from, size);
}
void* __tsan_memset(void* to, int value, unsigned long size) {
  if (size != 0) plain(to, size, true, RT_SITE);
  return std::memset(to, value, size);
}

#define RT_ATOMIC(bits)                                                                                             \
  std::uint##bits##_t __tsan_atomic##bits##_load(const volatile std::uint##bits##_t* a, int order) {                \
    return atomic_load(a, order, RT_SITE);                                                                          \
  }                                                                                                                 \
  void __tsan_atomic##bits##_store(volatile std::uint##bits##_t* a, std::uint##bits##_t v, int order) {             \
    atomic_store(a, v, order, RT_SITE);                                                                             \
  }                                                                                                                 \
  std::uint##bits##_t __tsan_atomic##bits##_exchange(volatile std::uint##bits##_t* a, std::uint##bits##_t v,        \
                                                     int order) {                                                   \
    return atomic_change(a, order, RT_SITE, order == __ATOMIC_ACQUIRE && v == 1, [v](auto) { return v; });          \
  }                                                                                                                 \
  std::uint##bits##_t __tsan_atomic##bits##_fetch_add(volatile std::uint##bits##_t* a, std::uint##bits##_t v,       \
                                                      int order) {                                                  \
    return atomic_change(a, order, RT_SITE, false,                                                                  \
                         [v](auto before) { return static_cast<std::uint##bits##_t>(before + v); });                \
  }                                                                                                                 \
  std::uint##bits##_t __tsan_atomic##bits##_fetch_sub(volatile std::uint##bits##_t* a, std::uint##bits##_t v,       \
                                                      int order) {                                                  \
    return atomic_change(a, order, RT_SITE, false,                                                                  \
                         [v](auto before) { return static_cast<std::uint##bits##_t>(before - v); });                \
  }                                                                                                                 \
  std::uint##bits##_t __tsan_atomic##bits##_fetch_and(volatile std::uint##bits##_t* a, std::uint##bits##_t v,       \
                                                      int order) {                                                  \
    return atomic_change(a, order, RT_SITE, false,                                                                  \
                         [v](auto before) { return static_cast<std::uint##bits##_t>(before & v); });                \
  }                                                                                                                 \
  std::uint##bits##_t __tsan_atomic##bits##_fetch_or(volatile std::uint##bits##_t* a, std::uint##bits##_t v,        \
                                                     int order) {                                                   \
    return atomic_change(a, order, RT_SITE, false,                                                                  \
                         [v](auto before) { return static_cast<std::uint##bits##_t>(before | v); });                \
  }                                                                                                                 \
  std::uint##bits##_t __tsan_atomic##bits##_fetch_xor(volatile std::uint##bits##_t* a, std::uint##bits##_t v,       \
                                                      int order) {                                                  \
    return atomic_change(a, order, RT_SITE, false,                                                                  \
                         [v](auto before) { return static_cast<std::uint##bits##_t>(before ^ v); });                \
  }                                                                                                                 \
  int __tsan_atomic##bits##_compare_exchange_strong(volatile std::uint##bits##_t* a, std::uint##bits##_t* expected, \
                                                    std::uint##bits##_t v, int order, int failure) {                \
    return atomic_compare_exchange(a, expected, v, order, failure, false, RT_SITE);                                 \
  }                                                                                                                 \
  int __tsan_atomic##bits##_compare_exchange_weak(volatile std::uint##bits##_t* a, std::uint##bits##_t* expected,   \
                                                  std::uint##bits##_t v, int order, int failure) {                  \
    return atomic_compare_exchange(a, expected, v, order, failure, true, RT_SITE);                                  \
  }
RT_ATOMIC(8)
RT_ATOMIC(16)
RT_ATOMIC(32)
RT_ATOMIC(64)
#undef RT_ATOMIC

void __tsan_atomic_thread_fence(int order) {
  if (execution* run = current_execution(); run != nullptr) {
    run->fence(make(step::fence, nullptr, 0, order, RT_SITE));
  } else {
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
  }
}
void __tsan_atomic_signal_fence(int) {}

}  // extern "C"

void* operator new(std::size_t size) { return allocate_or_throw(size, 16); }
void* operator new[](std::size_t size) { return allocate_or_throw(size, 16); }
void* operator new(std::size_t size, std::align_val_t align) {
  return allocate_or_throw(size, static_cast<std::size_t>(align));
}
void* operator new[](std::size_t size, std::align_val_t align) {
  return allocate_or_throw(size, static_cast<std::size_t>(align));
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept { return allocate(size, 16); }
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept { return allocate(size, 16); }
void* operator new(std::size_t size, std::align_val_t align, const std::nothrow_t&) noexcept {
  return allocate(size, static_cast<std::size_t>(align));
}
void operator delete(void* memory) noexcept { give_back(memory, RT_SITE); }
void operator delete[](void* memory) noexcept { give_back(memory, RT_SITE); }
void operator delete(void* memory, std::size_t) noexcept { give_back(memory, RT_SITE); }
void operator delete[](void* memory, std::size_t) noexcept { give_back(memory, RT_SITE); }
void operator delete(void* memory, std::align_val_t) noexcept { give_back(memory, RT_SITE); }
void operator delete[](void* memory, std::align_val_t) noexcept { give_back(memory, RT_SITE); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { give_back(memory, RT_SITE); }
void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept { give_back(memory, RT_SITE); }
