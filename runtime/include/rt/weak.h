// References that do not keep their object.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#include "rt/ref.h"

namespace rt {

namespace detail {

struct attachment;

/// What all weak references to one address share. Its memory is used again for others, with another serial number.
struct weak_identity {
  attachment* handle = nullptr;
  std::uint64_t serial = 0;
  friend bool operator==(const weak_identity&, const weak_identity&) noexcept = default;
};

weak_identity weak_to(const void* object);
void* strong_from(const weak_identity& weak);

}  // namespace detail

/// A reference to an object of the collected heap, or to a part of one, that does not keep it alive: for caches and for
/// observers. It may lie in any memory, that of malloc as well, and is copied like two numbers.
///
/// When nothing else refers to the object any more, all weak references to it become null in one step: before its
/// memory is used again, before its destructor and before its clean-up functions. They never become anything else
/// again.
///
/// Two are equal if they were made from equal pointers to the same object, and stay so after its death; references to
/// different parts of an object are not equal. As Go's weak.Pointer.
///
/// As with a plain pointer, any number of threads may read one while none writes it.
template <class T>
class weak {
 public:
  using element_type = T;

  /// Refers to nothing.
  constexpr weak() noexcept = default;
  explicit(false) constexpr weak(std::nullptr_t) noexcept {}
  /// Refers to `object` (null: nothing), which must be on the collected heap. An object whose destructor runs has no
  /// more weak references: one that is made then refers to nothing. Does not block. Any thread.
  /// @throws rt::usage_error when the object is elsewhere, std::bad_alloc
  explicit(false) weak(T* object) : identity_(detail::weak_to(object)) {}
  explicit(false) weak(const ref<T>& object) : weak(object.get()) {}

  /// The object, or null when it is gone. The pointer keeps it alive like any other; while the collector marks, what is
  /// returned is marked. Some nanoseconds. Does not block. On a green thread (or while no runtime runs).
  /// @throws rt::usage_error on a thread that is none of the runtime's, whose stack the collector does not see
  T* lock() const { return static_cast<T*>(detail::strong_from(identity_)); }

  friend bool operator==(const weak&, const weak&) noexcept = default;

 private:
  friend std::hash<weak>;
  detail::weak_identity identity_;
};

template <class T>
weak(T*) -> weak<T>;

}  // namespace rt

/// Equal ones have equal hashes, for as long as they exist.
template <class T>
struct std::hash<rt::weak<T>> {
  std::size_t operator()(const rt::weak<T>& one) const noexcept {
    return std::hash<std::uint64_t>()(one.identity_.serial);
  }
};
