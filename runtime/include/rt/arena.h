// Arenas: objects that end together.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <type_traits>
#include <utility>

#include "rt/make.h"
#include "rt/ref.h"

namespace rt {

namespace detail {

struct arena_chunk;
/// Makes a chunk with room for at least `size` bytes behind its head; `before` is the arena's last one.
arena_chunk* make_arena_chunk(std::size_t size, arena_chunk* before);
/// Gives the chunk and all before it back.
void free_arena_chunks(arena_chunk* last) noexcept;
struct arena_chunk {
  ref<arena_chunk> before;
  std::size_t size;  // in bytes; a pointer to the end would be one to the object behind it, and keep that alive
  char* end() noexcept { return reinterpret_cast<char*>(this) + size; }
};

}  // namespace detail

/// Memory for many objects that are given up at once, when the arena is destroyed, without waiting for a collection:
/// what a request needs, say. Making an object moves a pointer.
///
/// Objects of an arena may refer to other objects of the collected heap, which they keep alive, and to each other. What
/// lies outside may refer to them while the arena exists. Once it has been destroyed their memory is gone at once, and
/// any use of it ends the process with a report (SIGSEGV at an address of "a freed arena"); the addresses are not used
/// for anything else until a collection has found that nothing refers to them.
///
/// An arena is a local variable, a part of one, or a global variable. It is not for memory of malloc, where the
/// collector does not see it, nor for objects of the collected heap, which are destroyed when the arena's memory may be
/// gone: there it throws. One green thread uses it at a time.
class arena {
 public:
  arena() noexcept = default;
  /// Takes over what the other one has, which is empty then.
  arena(arena&& other) noexcept
      : last_(other.last_.get()), next_(std::exchange(other.next_, nullptr)), used_(std::exchange(other.used_, 0)) {
    other.last_ = nullptr;
  }
  arena& operator=(arena&& other) noexcept {
    std::swap(next_, other.next_);
    std::swap(used_, other.used_);
    swap(last_, other.last_);
    return *this;
  }
  arena(const arena&) = delete;
  arena& operator=(const arena&) = delete;
  ~arena() {
    if (last_.get() != nullptr) detail::free_arena_chunks(last_.get());
  }

  /// Makes a T in the arena, as rt::make does. T must need no destruction: nothing is destroyed here, only given up.
  /// May park while the collector is behind. @throws std::bad_alloc, rt::out_of_task_memory, rt::usage_error when the
  /// arena lies on the collected heap, and what the constructor throws (the memory then stays used until the end of the
  /// arena)
  template <class T, class... Arguments>
  [[nodiscard]] T* make(Arguments&&... arguments) {
    static_assert(std::is_trivially_destructible_v<T>, "objects of an arena are not destroyed: use rt::make");
    return detail::construct<T>(take(sizeof(T), alignof(T)), std::forward<Arguments>(arguments)...);
  }

  /// Makes `count` value-initialised Ts. @throws as make(), and std::bad_array_new_length when the size is beyond all
  /// memory
  template <class T>
  [[nodiscard]] T* make_array(std::size_t count) {
    static_assert(std::is_trivially_destructible_v<T>, "objects of an arena are not destroyed: use rt::make_array");
    if (count >= PTRDIFF_MAX / sizeof(T)) throw std::bad_array_new_length();
    T* first = static_cast<T*>(take(count * sizeof(T) + 1, alignof(T)));  // a pointer to the end belongs to it as well
    for (std::size_t i = 0; i < count; ++i) ::new (static_cast<void*>(first + i)) T();
    return first;
  }

  /// Bytes of the objects made so far, with what their alignment took.
  std::size_t used() const noexcept { return used_; }

 private:
  void* take(std::size_t size, std::size_t alignment) {
    auto at = reinterpret_cast<std::uintptr_t>(next_);
    char* begin = reinterpret_cast<char*>((at + alignment - 1) & ~(alignment - 1));
    detail::arena_chunk* last = last_.get();
    if (last == nullptr || begin > last->end() || static_cast<std::size_t>(last->end() - begin) < size) [[unlikely]] {
      begin = grow(size, alignment);
    } else {
      used_ += static_cast<std::size_t>(begin - next_) + size;
      next_ = begin + size;
    }
    detail::open_to_use(begin, size);
    return begin;
  }
  char* grow(std::size_t size, std::size_t alignment);

  ref<detail::arena_chunk> last_;
  char* next_ = nullptr;
  std::size_t used_ = 0;
};

}  // namespace rt
