// Values that belong to a green thread, or to a task.
//
// A C++ thread_local belongs to a kernel thread, and a green thread changes that at any call of the runtime.
#pragma once

#include <cstdint>
#include <functional>
#include <type_traits>
#include <utility>

#include "rt/kept.h"

namespace rt {

namespace detail {

/// Makes a value of a local: `maker` is what the local holds.
struct local_kind {
  void* (*make)(const void* maker);
  void (*destroy)(void* value) noexcept;
};
std::uint64_t new_local_key() noexcept;
void* thread_value(std::uint64_t key, const local_kind& kind, const void* maker);
void* find_thread_value(std::uint64_t key) noexcept;
void* task_value(std::uint64_t key, const local_kind& kind, const void* maker);
void* find_task_value(std::uint64_t key) noexcept;

template <class T>
inline constexpr local_kind local_kind_of{[](const void* maker) -> void* {
                                            const auto& make = *static_cast<const std::function<T()>*>(maker);
                                            return keep<T>([&](void* place) {
                                              if constexpr (std::is_default_constructible_v<T>) {
                                                if (make == nullptr) return ::new (place) T();
                                              }
                                              return ::new (place) T(make());
                                            });
                                          },
                                          [](void* value) noexcept { destroy_kept(static_cast<T*>(value)); }};

}  // namespace detail

/// A value of T for each green thread that asks for one. Usually a static variable:
///
///     static rt::local<int> depth;
///     ++*depth;
///
/// The value is made when its green thread first asks for it, and destroyed at the end of that green thread, in the
/// opposite order of making. It lies on the collected heap and may hold rt::ref. Destructors run on the green thread
/// and may block (bounded by deadlines: cancellation does not end their waits), but must not throw. A value lives on
/// when the rt::local itself is destroyed before.
///
/// Members must be called on a green thread, inside rt::blocking as well, and throw rt::usage_error elsewhere.
template <class T>
class local {
 public:
  /// Values begin as T().
  local() requires std::is_default_constructible_v<T> : key_(detail::new_local_key()) {}
  /// Values begin as what `make` returns, called on their green thread; it may block.
  explicit local(std::function<T()> make) : key_(detail::new_local_key()), make_(std::move(make)) {}
  local(const local&) = delete;
  local& operator=(const local&) = delete;

  /// The caller's value. Throws what making it throws.
  T& get() const { return *static_cast<T*>(detail::thread_value(key_, detail::local_kind_of<T>, &make_)); }
  T& operator*() const { return get(); }
  T* operator->() const { return &get(); }
  /// The caller's value if it has been made, else null; null outside green threads as well.
  T* find() const noexcept { return static_cast<T*>(detail::find_thread_value(key_)); }

 private:
  const std::uint64_t key_;
  const std::function<T()> make_;
};

/// A value of T for each task that asks for one; all green threads that are in no task share one. Several green threads
/// may use it at once: protect it by a mutex inside of T if it changes.
///
/// The value is made when a green thread of the task first asks for it (others wait for it then, and throw
/// rt::cancelled; if making it throws, the next one tries again), and destroyed when the entry has returned and the
/// other green threads of the task have ended. Otherwise as rt::local.
template <class T>
class task_local {
 public:
  /// Values begin as T().
  task_local() requires std::is_default_constructible_v<T> : key_(detail::new_local_key()) {}
  /// Values begin as what `make` returns, called on a green thread of the task; it may block.
  explicit task_local(std::function<T()> make) : key_(detail::new_local_key()), make_(std::move(make)) {}
  task_local(const task_local&) = delete;
  task_local& operator=(const task_local&) = delete;

  /// The value of the caller's task. Throws what making it throws.
  T& get() const { return *static_cast<T*>(detail::task_value(key_, detail::local_kind_of<T>, &make_)); }
  T& operator*() const { return get(); }
  T* operator->() const { return &get(); }
  /// The task's value if it has been made, else null; null outside green threads as well.
  T* find() const noexcept { return static_cast<T*>(detail::find_task_value(key_)); }

 private:
  const std::uint64_t key_;
  const std::function<T()> make_;
};

}  // namespace rt
