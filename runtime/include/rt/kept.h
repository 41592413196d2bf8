// Values that the runtime keeps for its users beside the stacks: where the collector sees what they refer to.
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

#include "rt/make.h"

namespace rt::detail {

struct root_slot;
root_slot* new_root(const void* object);
void end_root(root_slot* slot) noexcept;

/// A T that lies on the collected heap, so that it may hold references, but is destroyed by whoever keeps it.
template <class T>
struct kept_block {
  root_slot* root;
  alignas(T) unsigned char place[sizeof(T)];
};

/// Makes one: `construct(void* place)` returns the T that it has constructed there. @throws std::bad_alloc, and what
/// `construct` throws
template <class T, class Construct>
T* keep(const Construct& construct) {
  using block = kept_block<T>;
  static_assert(alignof(block) <= 4096, "the collected heap aligns to 4096 bytes at most");
  void* memory = allocate(sizeof(block), alignof(block), kind_of<T>);
  open_to_use(memory, sizeof(block));
  auto* kept = ::new (memory) block;
  kept->root = new_root(kept);
  try {
    return construct(static_cast<void*>(kept->place));
  } catch (...) {
    end_root(kept->root);
    throw;
  }
}
template <class T>
void destroy_kept(T* object) noexcept {
  auto* kept = reinterpret_cast<kept_block<T>*>(reinterpret_cast<char*>(object) - offsetof(kept_block<T>, place));
  object->~T();
  end_root(kept->root);
}

template <class T>
struct kept_deleter {
  void operator()(T* object) const noexcept { destroy_kept(object); }
};
template <class T>
using kept_pointer = std::unique_ptr<T, kept_deleter<T>>;

template <class T, class... Arguments>
kept_pointer<T> keep_new(Arguments&&... arguments) {
  return kept_pointer<T>(
      keep<T>([&](void* place) { return detail::construct<T>(place, std::forward<Arguments>(arguments)...); }));
}

/// A function that the runtime calls later. What a lambda has captured lies on the collected heap; what a std::function
/// has put into memory of malloc before is not seen there.
class kept_function {
 public:
  kept_function() noexcept = default;
  explicit(false) kept_function(std::nullptr_t) noexcept {}
  template <class Function>
    requires(std::is_invocable_v<std::decay_t<Function>&> && !std::is_same_v<std::decay_t<Function>, kept_function>)
  explicit(false) kept_function(Function&& function) {
    using held = std::decay_t<Function>;
    if constexpr (requires { function == nullptr; }) {
      if (function == nullptr) return;
    }
    object_ = keep_new<held>(std::forward<Function>(function)).release();
    call_ = [](void* object) { (*static_cast<held*>(object))(); };
    destroy_ = [](void* object) noexcept { destroy_kept(static_cast<held*>(object)); };
  }
  kept_function(kept_function&& other) noexcept
      : object_(std::exchange(other.object_, nullptr)), call_(other.call_), destroy_(other.destroy_) {}
  kept_function& operator=(kept_function&& other) noexcept {
    std::swap(object_, other.object_);
    std::swap(call_, other.call_);
    std::swap(destroy_, other.destroy_);
    return *this;
  }
  ~kept_function() {
    if (object_ != nullptr) destroy_(object_);
  }

  explicit operator bool() const noexcept { return object_ != nullptr; }
  void operator()() const { call_(object_); }

 private:
  void* object_ = nullptr;  // kept by a root of its own
  void (*call_)(void*) = nullptr;
  void (*destroy_)(void*) noexcept = nullptr;
};

}  // namespace rt::detail
