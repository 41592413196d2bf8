// Exception objects, which the C++ library has in memory of malloc, where the collector would see nothing.
//
// The library's functions that get and free that memory are called across the dynamic linker, by compiled throw
// expressions as well as by itself. So those of the program come first: here they call the library's, and note where
// the object is, from before it is constructed until it is freed. The collector looks into all noted ones; what is
// constructed while it marks is rt::ref, which tells it. A throw costs more than a microsecond, the note some tens of
// nanoseconds.
//
// A plugin's throw comes here as well, since rtd-host exports the two names (exports.list). A program that links the
// C++ library statically has the library's own, or does not link.
//
// Rejected: following the handlers that each green thread is in (__cxa_eh_globals): what is in flight is not in that
// list, nor what a std::exception_ptr keeps; memory of the collected heap for exceptions: a throw must work when there
// is none.
#include "runtime/gc/exceptions.h"

#include <dlfcn.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <utility>

#include "runtime/heap/table_pool.h"
#include "runtime/os/fatal.h"
#include "runtime/os/spin_lock.h"

namespace rt::detail {

namespace {

struct noted_exception {
  noted_exception* pool_link = nullptr;
  noted_exception* next = nullptr;
  const char* object = nullptr;
  std::size_t size = 0;
  void reset() noexcept { next = nullptr; }
};

table_pool<noted_exception> notes;
std::atomic<std::uint64_t> count{0};

// Few of them exist at a time: a list each.
constexpr std::size_t bucket_count = 64;
struct alignas(64) bucket {
  os::spin_lock lock{os::lock_rank::none};
  noted_exception* first RT_GUARDED_BY(lock) = nullptr;
};
bucket buckets[bucket_count];

bucket& bucket_of(const void* object) noexcept {
  // Objects are some hundreds of bytes apart.
  return buckets[reinterpret_cast<std::uintptr_t>(object) / 64 % bucket_count];
}

void note(const void* object, std::size_t size) noexcept {
  if (size < sizeof(void*)) return;  // holds no reference
  noted_exception* one = notes.take();
  // No memory for forty bytes: this exception then must not hold the only reference to anything.
  if (one == nullptr) return;
  one->object = static_cast<const char*>(object);
  one->size = size;
  count.fetch_add(1, std::memory_order_relaxed);
  bucket& mine = bucket_of(object);
  os::spin_guard guard(mine.lock);
  one->next = std::exchange(mine.first, one);
}

void forget(const void* object) noexcept {
  noted_exception* found = nullptr;
  {
    bucket& mine = bucket_of(object);
    os::spin_guard guard(mine.lock);
    noted_exception** at = &mine.first;
    while (*at != nullptr && (*at)->object != object) at = &(*at)->next;
    if (*at == nullptr) return;
    found = *at;
    *at = found->next;
  }
  count.fetch_sub(1, std::memory_order_relaxed);
  notes.give_back(*found);
}

// The library's function of this name.
template <class Function>
Function* next_function(std::atomic<Function*>& known, const char* name) noexcept {
  Function* found = known.load(std::memory_order_relaxed);  // the function's code needs no ordering
  if (found == nullptr) {
    found = reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
    if (found == nullptr) os::fatal("%s is not in the C++ library that this program uses", name);
    known.store(found, std::memory_order_relaxed);
  }
  return found;
}

std::atomic<void* (*)(std::size_t) noexcept> library_allocate{nullptr};
std::atomic<void (*)(void*) noexcept> library_free{nullptr};

}  // namespace

void for_each_exception(void (*visit)(void* argument, root_range range), void* argument) noexcept {
  for (bucket& one : buckets) {
    os::spin_guard guard(one.lock);
    for (const noted_exception* at = one.first; at != nullptr; at = at->next) {
      visit(argument, {at->object, at->object + at->size});
    }
  }
}

std::uint64_t exception_count() noexcept { return count.load(std::memory_order_relaxed); }

}  // namespace rt::detail

// The names are the ABI's.
// NOLINTBEGIN(bugprone-reserved-identifier)
// A throw expression gets the memory before it computes what is thrown, which may tell of errno.
extern "C" void* __cxa_allocate_exception(std::size_t size) noexcept {
  int number = errno;
  void* object = rt::detail::next_function(rt::detail::library_allocate, "__cxa_allocate_exception")(size);
  rt::detail::note(object, size);
  errno = number;
  return object;
}

extern "C" void __cxa_free_exception(void* object) noexcept {
  int number = errno;
  rt::detail::forget(object);
  rt::detail::next_function(rt::detail::library_free, "__cxa_free_exception")(object);
  errno = number;
}
// NOLINTEND(bugprone-reserved-identifier)
