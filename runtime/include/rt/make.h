// Objects on the collected heap.
//
// rt::make<T>(…) gives a plain T* that lives for as long as anything refers to it: a local variable or parameter of a
// green thread, an rt::ref<T> in another object, in a global variable or in a closure of rt::go. There is no delete.
//
// The size, the alignment and whether T may hold pointers are known when the call is compiled, so what is inlined is
// the taking of the next slot of a run of free slots: some twenty instructions, two of them tests. Each P has such runs
// for each task that runs on it (runtime/heap/allocation_cache.h).
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <new>
#include <type_traits>
#include <utility>

#include "rt/size_class.h"
#include "rt/worker_head.h"

#if defined(__SANITIZE_ADDRESS__)
#define RT_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define RT_ADDRESS_SANITIZER 1
#endif
#endif
#if defined(RT_ADDRESS_SANITIZER)
extern "C" void __asan_unpoison_memory_region(void const volatile* address, std::size_t size);
#endif

namespace rt {

/// The task of the caller has reached the hard limit of its memory, and collecting did not help. Its text names the
/// limit, what the task has and what was wanted; like every exception that nothing catches it fails the task.
class out_of_task_memory : public std::bad_alloc {
 public:
  /// Sizes in bytes of pages.
  out_of_task_memory(std::size_t limit, std::size_t used, std::size_t wanted) noexcept;
  const char* what() const noexcept override { return text_; }
  std::size_t limit() const noexcept { return limit_; }

 private:
  std::size_t limit_;
  char text_[184];
};

/// Whether objects of T hold no pointers to the collected heap, so that the collector need not look into them. It finds
/// that out for numbers, enumerations, times of std::chrono and arrays of them. For a type of your own say it:
///
///     template <> inline constexpr bool rt::noscan<pixel> = true;
///
/// It must be true for derived classes as well, if objects of those are made as T. A type that says it and holds
/// pointers all the same has them dangle.
template <class T>
inline constexpr bool noscan = std::is_arithmetic_v<T> || std::is_enum_v<T>;
template <class T>
inline constexpr bool noscan<const T> = noscan<T>;
template <class Count, class Period>
inline constexpr bool noscan<std::chrono::duration<Count, Period>> = noscan<Count>;
template <class Clock, class Duration>
inline constexpr bool noscan<std::chrono::time_point<Clock, Duration>> = noscan<Duration>;
template <class T, std::size_t Count>
inline constexpr bool noscan<T[Count]> = noscan<T>;

namespace detail {

/// Free slots of one class that follow each other. Only the owner of the P takes from it, in a critical section;
/// others read it.
struct open_run {
  std::atomic<char*> next{nullptr};
  std::atomic<char*> end{nullptr};
};

/// What the fast path sees of a cache (runtime/heap/allocation_cache.h).
struct allocation_runs {
  open_run tiny;  // the rest of a slot of 16 bytes that small objects without pointers share
  std::atomic<std::uint64_t> tiny_objects{0};  // in such slots, so far
  open_run of[run_index_count];
};

/// What every P begins with; sched's `processor` is one.
struct proc_head {
  std::atomic<allocation_runs*> runs;     // of the task that runs; without a cache one that has no free slots
  std::uint32_t heap_place = UINT32_MAX;  // the P's place in the tables of the heap
  proc_head() noexcept;
};
extern allocation_runs no_runs;

inline proc_head& head_of(const proc_pointer& p) noexcept {
  return *reinterpret_cast<proc_head*>(static_cast<processor*>(p));  // a static_assert beside `processor` checks it
}

/// The slow halves: may run a part of a collection, park, throw std::bad_alloc or rt::out_of_task_memory. The memory is
/// zero unless the kind is plain.
void* allocate_slot(std::size_t index);  // one slot of run_index `index`
void* allocate_tiny(std::size_t size, std::size_t alignment);
void* allocate_large(std::size_t size, std::size_t alignment, span_kind kind);

/// Memory for any size known at run time: `size` bytes, at least one, aligned to `alignment` (a power of two, 8192 at
/// most). Any thread.
void* allocate(std::size_t size, std::size_t alignment, span_kind kind);

inline void open_to_use([[maybe_unused]] void* object, [[maybe_unused]] std::size_t size) noexcept {
#if defined(RT_ADDRESS_SANITIZER)
  __asan_unpoison_memory_region(object, size);
#endif
}

/// Takes memory from the runs of the P by `take`, which gives null when there is none.
template <class Take>
inline char* take_from_runs(const Take& take) noexcept {
  os::worker_head* self = os::worker_slot();
  if (self == nullptr) [[unlikely]]
    return nullptr;
  os::enter_critical(*self);
  char* taken = nullptr;
  if (!self->lost_proc.load(std::memory_order_relaxed)) [[likely]] {
    taken = take(*head_of(self->p).runs.load(std::memory_order_relaxed));
  }
  os::leave_critical(*self);
  return taken;
}

/// The next slot of a run.
inline char* take_slot(open_run& run, std::size_t size) noexcept {
  char* begin = run.next.load(std::memory_order_relaxed);
  if (begin == run.end.load(std::memory_order_relaxed)) return nullptr;
  run.next.store(begin + size, std::memory_order_relaxed);
  return begin;
}

/// A part of a slot that small objects share.
inline char* take_tiny(allocation_runs& runs, std::size_t size, std::size_t alignment) noexcept {
  auto at = reinterpret_cast<std::uintptr_t>(runs.tiny.next.load(std::memory_order_relaxed));
  char* begin = reinterpret_cast<char*>((at + alignment - 1) & ~(alignment - 1));
  if (begin + size > runs.tiny.end.load(std::memory_order_relaxed)) return nullptr;
  runs.tiny.next.store(begin + size, std::memory_order_relaxed);
  runs.tiny_objects.store(runs.tiny_objects.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  return begin;
}

/// A slot of at least `Size` bytes; its contents are zero unless the kind is plain.
template <std::size_t Size, std::size_t Alignment, span_kind Kind>
inline void* allocate_fixed() {
  constexpr std::size_t size_class = size_class_of(Size, Alignment);
  if constexpr (size_class == size_class_count) {
    void* object = allocate_large(Size, Alignment, Kind);
    open_to_use(object, Size);
    return object;
  } else if constexpr (Kind == span_kind::plain && Size <= 8) {
    char* taken = take_from_runs([](allocation_runs& runs) { return take_tiny(runs, Size, Alignment); });
    void* object = taken != nullptr ? taken : allocate_tiny(Size, Alignment);
    open_to_use(object, Size);
    return object;
  } else {
    constexpr std::size_t index = run_index(size_class, Kind);
    char* taken =
        take_from_runs([](allocation_runs& runs) { return take_slot(runs.of[index], size_of_class(size_class)); });
    void* object = taken != nullptr ? taken : allocate_slot(index);
    open_to_use(object, Size);
    return object;
  }
}

using destructor = void (*)(void* object);

/// Notes that the collector shall call `how` when the object, of kind `destroyed`, is found dead.
void set_large_destructor(void* object, destructor how) noexcept;
inline void set_destructor(void* object, std::size_t slot_size, destructor how) noexcept {
  char* place = static_cast<char*>(object) + slot_size - sizeof(destructor);
  open_to_use(place, sizeof(destructor));
  // Release: pairs with the sweep, which hands the object to whoever calls it.
  std::atomic_ref<destructor>(*reinterpret_cast<destructor*>(place)).store(how, std::memory_order_release);
}

/// The kind of memory for objects of T that are never destroyed.
template <class T>
inline constexpr span_kind kind_of = noscan<T> ? span_kind::plain : span_kind::scanned;

template <class T, class... Arguments>
T* construct(void* place, Arguments&&... arguments) {
  if constexpr (std::is_constructible_v<T, Arguments...>) {
    return ::new (place) T(std::forward<Arguments>(arguments)...);
  } else {
    return ::new (place) T{std::forward<Arguments>(arguments)...};
  }
}

}  // namespace detail

/// Makes a T on the collected heap from the arguments, as T(arguments…) or else T{arguments…}; without arguments it is
/// value-initialised.
///
/// The pointer is valid while it, or a pointer to any part of the object, stands in a local variable or parameter of a
/// green thread, in an rt::ref that is reached from one, from a global variable of a plugin or from another object that
/// is. In memory of malloc or new the collector sees nothing: what lies there needs an rt::root.
///
/// A T with a destructor is destroyed some time after nothing refers to it any more, on a green thread of the task that
/// has made it, one after the other in no particular order; or of no task, when that one has ended. Its destructor must
/// not touch other objects of the collected heap: they may be gone. An exception that leaves it fails the task, if it
/// is noexcept(false), and else ends the process.
///
/// Any thread, green or not. May park while the collector is behind. @throws std::bad_alloc when the system has no
/// memory, rt::out_of_task_memory at the task's limit, and what the constructor throws.
template <class T, class... Arguments>
[[nodiscard]] T* make(Arguments&&... arguments) {
  static_assert(!std::is_array_v<T>, "arrays are made by rt::make_array<element>(count)");
  static_assert(alignof(T) <= 4096, "the collected heap aligns to 4096 bytes at most");
  if constexpr (std::is_trivially_destructible_v<T>) {
    void* place = detail::allocate_fixed<sizeof(T), alignof(T), detail::kind_of<T>>();
    return detail::construct<T>(place, std::forward<Arguments>(arguments)...);
  } else {
    constexpr std::size_t size = sizeof(T) + sizeof(detail::destructor);
    constexpr std::size_t alignment =
        alignof(T) < alignof(detail::destructor) ? alignof(detail::destructor) : alignof(T);
    constexpr std::size_t size_class = detail::size_class_of(size, alignment);
    void* place = detail::allocate_fixed<size, alignment, detail::span_kind::destroyed>();
    T* object = detail::construct<T>(place, std::forward<Arguments>(arguments)...);
    detail::destructor how = [](void* dead) { static_cast<T*>(dead)->~T(); };
    if constexpr (size_class == detail::size_class_count) {
      detail::set_large_destructor(object, how);
    } else {
      detail::set_destructor(object, detail::size_of_class(size_class), how);
    }
    return object;
  }
}

/// Makes `count` value-initialised Ts that follow each other. As make(); the elements are never destroyed, so T must
/// need no destruction. A pointer to the end keeps the array alive as well. A count of 0 gives a pointer that nothing
/// may be read through. @throws as make(), and std::bad_array_new_length when the size is beyond all memory.
template <class T>
[[nodiscard]] T* make_array(std::size_t count) {
  static_assert(std::is_trivially_destructible_v<T>,
                "elements of an array on the collected heap are not destroyed: use an array of rt::ref to objects");
  static_assert(alignof(T) <= 4096, "the collected heap aligns to 4096 bytes at most");
  if (count >= PTRDIFF_MAX / sizeof(T)) throw std::bad_array_new_length();
  // One byte more, so that a pointer to the end points into the array.
  T* first = static_cast<T*>(detail::allocate(count * sizeof(T) + 1, alignof(T), detail::kind_of<T>));
  for (std::size_t i = 0; i < count; ++i) ::new (static_cast<void*>(first + i)) T();
  return first;
}

/// What `object` points to is alive at least until this call: for code that keeps the object's address only in a form
/// that the collector does not recognise, or hands it to the system. Costs nothing.
inline void keep_alive(const void* object) noexcept { asm volatile("" : : "r"(object) : "memory"); }

}  // namespace rt
