// References that are stored.
#pragma once

#include <atomic>
#include <cstddef>
#include <type_traits>
#include <utility>

namespace rt {

namespace detail {

/// True while the collector marks. Changes only while no green thread runs between a test and the store after it.
extern std::atomic<bool> gc_marking;
/// Tells the collector that `old_value` is about to be overwritten by `new_value` (null: none). Any thread.
void gc_barrier(const void* old_value, const void* new_value) noexcept;
/// True while stores to rt::ref are told: while the collector marks, and always with RT_DEBUG=gcverifyrefs. Changes
/// as gc_marking does.
extern std::atomic<bool> gc_watching;
/// An rt::ref at `slot` is about to be given `new_value`. Any thread.
void gc_store(const void* slot, const void* old_value, const void* new_value) noexcept;

}  // namespace detail

/// A reference to an object of the collected heap, for every place that is not a local variable or a parameter: members
/// of objects, global variables, elements of arrays, captures of closures that rt::go runs. It converts from and to T*.
///
/// It is one word. Reading it is a plain load. Storing to it tests one flag, and while the collector marks, tells it
/// the old and the new value: this is why stored places need an rt::ref where a T* would compile. Destroying it does
/// nothing.
///
/// Any number of green threads may read one while none writes; it is atomic in itself (relaxed), so that the collector
/// may read it at any time, but it orders nothing else.
template <class T>
class ref {
 public:
  using element_type = T;

  ref() noexcept = default;
  explicit(false) ref(std::nullptr_t) noexcept {}
  explicit(false) ref(T* object) noexcept : object_(object) { tell(this, nullptr, object); }
  ref(const ref& other) noexcept : ref(other.get()) {}
  template <class U>
    requires std::is_convertible_v<U*, T*>
  explicit(false) ref(const ref<U>& other) noexcept : ref(static_cast<T*>(other.get())) {}
  ~ref() = default;

  ref& operator=(T* object) noexcept {
    store(object);
    return *this;
  }
  ref& operator=(std::nullptr_t) noexcept {
    store(nullptr);
    return *this;
  }
  ref& operator=(const ref& other) noexcept {  // NOLINT(bugprone-unhandled-self-assignment)
    store(other.get());
    return *this;
  }
  template <class U>
  requires std::is_convertible_v<U*, T*> ref& operator=(const ref<U>& other) noexcept {
    store(static_cast<T*>(other.get()));
    return *this;
  }

  T* get() const noexcept { return object_.load(std::memory_order_relaxed); }
  explicit(false) operator T*() const noexcept { return get(); }
  T* operator->() const noexcept { return get(); }
  std::add_lvalue_reference_t<T> operator*() const noexcept { return *get(); }

  friend void swap(ref& a, ref& b) noexcept {
    T* was = a.get();
    a = b.get();
    b = was;
  }

 private:
  // Before the store. The old value is read only while marking.
  static void tell(const void* slot, const void* old_value, const void* new_value) noexcept {
    if (detail::gc_watching.load(std::memory_order_relaxed)) [[unlikely]]
      detail::gc_store(slot, old_value, new_value);
  }

  void store(T* object) noexcept {
    tell(this, get(), object);
    object_.store(object, std::memory_order_relaxed);
  }

  std::atomic<T*> object_{nullptr};
};

}  // namespace rt
