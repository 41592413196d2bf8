// pthread_mutex_* and pthread_rwlock_* in front of the C library's, to know which green thread holds one when it parks.
//
// A program that has these functions in itself is asked first by the dynamic linker, so calls from the program and from
// every shared object that it loads come here; the C library's calls of its own do not. Each function calls the C
// library's, and then, on a green thread only, counts (sched/os_locks.h).
//
// Invariants
//   1 What the lock does, its result and its errors are the C library's. A lock that was not taken is not counted.
//   2 Outside green threads nothing is touched: kernel threads of the program, constructors that run before there is a
//     runtime, and the scheduler's own stacks pay for one load of a thread-local word.
//   3 Nothing here takes a lock, allocates or fails; it may be called inside of any allocator.
//
// pthread_cond_wait gives the mutex up and takes it again inside the C library. It blocks the kernel thread, so no
// green thread can park in between, and before and after it the count is right. A lock that another green thread gives
// up than the one that took it makes the first one's count too high. POSIX allows that for no mutex; the report would
// then name a lock that is not held.
//
// Not covered: mtx_lock of C11 and pthread_spin_lock, which are rare in C++, and the C library's internal locks.
// With ThreadSanitizer or AddressSanitizer this file is left out: those have their own functions of these names.
// Rejected: frames by backtrace(), which takes longer than the lock; a table of all held locks by address, which would
// be a line that all processors write.
#include <dlfcn.h>
#include <pthread.h>

#include <atomic>
#include <cerrno>
#include <cstdint>

#include "runtime/sched/park.h"

namespace {

using rt::detail::green_thread;
using rt::detail::worker;

// The C library's function of this name, looked up at the first call. dlsym takes the loader's lock by an internal
// function and allocates only to report an error.
template <class Function>
class next_function {
 public:
  constexpr explicit next_function(const char* name) noexcept : name_(name) {}
  template <class... Arguments>
  int operator()(Arguments... arguments) noexcept {
    auto* found = function_.load(std::memory_order_relaxed);  // the function's code needs no ordering
    if (found == nullptr) [[unlikely]] {
      found = reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name_));
      function_.store(found, std::memory_order_relaxed);
    }
    return found(arguments...);
  }

 private:
  const char* name_;
  std::atomic<Function*> function_{nullptr};
};

// The caller of the interposed function, by its frame.
struct place {
  void* caller;
  const std::uintptr_t* frame;
  const void* own_frame;
};

// A frame pointer of code that was compiled without them is anything: it is followed only if it points into the own
// stack, above the frame of this function and below the descriptor, which stands on top.
inline void note_locked(worker& self, const void* lock, place where) noexcept {
  green_thread& one = *self.current;
  std::uint16_t count = one.os_locks;
  if (count == UINT16_MAX) return;
  one.os_locks = count + 1;
  if (count >= rt::detail::remembered_os_locks) return;
  auto frame = reinterpret_cast<std::uintptr_t>(where.frame);
  bool on_stack = frame > reinterpret_cast<std::uintptr_t>(where.own_frame) &&
                  frame < reinterpret_cast<std::uintptr_t>(&one) && frame % sizeof(std::uintptr_t) == 0;
  self.os_locks[count] = {lock, where.caller, on_stack ? reinterpret_cast<void*>(where.frame[1]) : nullptr,
                          where.frame};
}

// Another lock than the last one was given up: the places of those that came after it move down.
__attribute__((noinline)) void forget(worker& self, std::size_t left, const void* lock) noexcept {
  rt::detail::held_os_locks& held = self.os_locks;
  std::size_t place = 0;
  while (place < held.size() && place <= left && held[place].lock != lock) ++place;
  for (; place + 1 < held.size() && place < left; ++place) held[place] = held[place + 1];
  // One that was counted without its place is the last now.
  if (left >= held.size()) held.back() = {};
}

inline void note_unlocked(worker& self, const void* lock) noexcept {
  green_thread& one = *self.current;
  if (one.os_locks == 0) return;  // it was taken by another
  std::uint16_t left = --one.os_locks;
  if (left >= rt::detail::remembered_os_locks || self.os_locks[left].lock != lock) [[unlikely]]
    forget(self, left, lock);
}

// Read anew after each call: the kernel thread is the same, but the compiler shall not keep it over the call.
inline worker* on_green_thread() noexcept {
  worker* self = rt::detail::current_worker();
  return self != nullptr && self->current != nullptr ? self : nullptr;
}

inline int after_lock(int outcome, const void* lock, place where) noexcept {
  worker* self = on_green_thread();
  // EOWNERDEAD: a robust mutex whose owner has died is taken as well.
  if (self != nullptr && (outcome == 0 || outcome == EOWNERDEAD)) note_locked(*self, lock, where);
  return outcome;
}

inline int after_unlock(int outcome, const void* lock) noexcept {
  worker* self = on_green_thread();
  if (self != nullptr && outcome == 0) note_unlocked(*self, lock);
  return outcome;
}

// The frame address points at the caller's, with frame pointers as all of this is compiled.
#define RT_CALLER                                                                                        \
  place {                                                                                                \
    __builtin_return_address(0), *static_cast<const std::uintptr_t* const*>(__builtin_frame_address(0)), \
        __builtin_frame_address(0)                                                                       \
  }

next_function<int(pthread_mutex_t*)> next_mutex_lock{"pthread_mutex_lock"};
next_function<int(pthread_mutex_t*)> next_mutex_trylock{"pthread_mutex_trylock"};
next_function<int(pthread_mutex_t*, const timespec*)> next_mutex_timedlock{"pthread_mutex_timedlock"};
next_function<int(pthread_mutex_t*, clockid_t, const timespec*)> next_mutex_clocklock{"pthread_mutex_clocklock"};
next_function<int(pthread_mutex_t*)> next_mutex_unlock{"pthread_mutex_unlock"};
next_function<int(pthread_rwlock_t*)> next_rdlock{"pthread_rwlock_rdlock"};
next_function<int(pthread_rwlock_t*)> next_tryrdlock{"pthread_rwlock_tryrdlock"};
next_function<int(pthread_rwlock_t*, const timespec*)> next_timedrdlock{"pthread_rwlock_timedrdlock"};
next_function<int(pthread_rwlock_t*, clockid_t, const timespec*)> next_clockrdlock{"pthread_rwlock_clockrdlock"};
next_function<int(pthread_rwlock_t*)> next_wrlock{"pthread_rwlock_wrlock"};
next_function<int(pthread_rwlock_t*)> next_trywrlock{"pthread_rwlock_trywrlock"};
next_function<int(pthread_rwlock_t*, const timespec*)> next_timedwrlock{"pthread_rwlock_timedwrlock"};
next_function<int(pthread_rwlock_t*, clockid_t, const timespec*)> next_clockwrlock{"pthread_rwlock_clockwrlock"};
next_function<int(pthread_rwlock_t*)> next_rwlock_unlock{"pthread_rwlock_unlock"};

}  // namespace

#define RT_INTERPOSED extern "C" __attribute__((visibility("default"))) int

RT_INTERPOSED pthread_mutex_lock(pthread_mutex_t* lock) noexcept {
  return after_lock(next_mutex_lock(lock), lock, RT_CALLER);
}
RT_INTERPOSED pthread_mutex_trylock(pthread_mutex_t* lock) noexcept {
  return after_lock(next_mutex_trylock(lock), lock, RT_CALLER);
}
RT_INTERPOSED pthread_mutex_timedlock(pthread_mutex_t* lock, const timespec* until) noexcept {
  return after_lock(next_mutex_timedlock(lock, until), lock, RT_CALLER);
}
RT_INTERPOSED pthread_mutex_clocklock(pthread_mutex_t* lock, clockid_t clock, const timespec* until) noexcept {
  return after_lock(next_mutex_clocklock(lock, clock, until), lock, RT_CALLER);
}
RT_INTERPOSED pthread_mutex_unlock(pthread_mutex_t* lock) noexcept {
  return after_unlock(next_mutex_unlock(lock), lock);
}
RT_INTERPOSED pthread_rwlock_rdlock(pthread_rwlock_t* lock) noexcept {
  return after_lock(next_rdlock(lock), lock, RT_CALLER);
}
RT_INTERPOSED pthread_rwlock_tryrdlock(pthread_rwlock_t* lock) noexcept {
  return after_lock(next_tryrdlock(lock), lock, RT_CALLER);
}
RT_INTERPOSED pthread_rwlock_timedrdlock(pthread_rwlock_t* lock, const timespec* until) noexcept {
  return after_lock(next_timedrdlock(lock, until), lock, RT_CALLER);
}
RT_INTERPOSED pthread_rwlock_clockrdlock(pthread_rwlock_t* lock, clockid_t clock, const timespec* until) noexcept {
  return after_lock(next_clockrdlock(lock, clock, until), lock, RT_CALLER);
}
RT_INTERPOSED pthread_rwlock_wrlock(pthread_rwlock_t* lock) noexcept {
  return after_lock(next_wrlock(lock), lock, RT_CALLER);
}
RT_INTERPOSED pthread_rwlock_trywrlock(pthread_rwlock_t* lock) noexcept {
  return after_lock(next_trywrlock(lock), lock, RT_CALLER);
}
RT_INTERPOSED pthread_rwlock_timedwrlock(pthread_rwlock_t* lock, const timespec* until) noexcept {
  return after_lock(next_timedwrlock(lock, until), lock, RT_CALLER);
}
RT_INTERPOSED pthread_rwlock_clockwrlock(pthread_rwlock_t* lock, clockid_t clock, const timespec* until) noexcept {
  return after_lock(next_clockwrlock(lock, clock, until), lock, RT_CALLER);
}
RT_INTERPOSED pthread_rwlock_unlock(pthread_rwlock_t* lock) noexcept {
  return after_unlock(next_rwlock_unlock(lock), lock);
}
