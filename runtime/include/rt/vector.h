// Sequences on the collected heap.
#pragma once

#include <algorithm>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#include "rt/make.h"
#include "rt/ref.h"

namespace rt {

namespace detail {

/// Room for `count` Ts, which are to be constructed there: zero, unless T holds no pointers.
template <class T>
T* allocate_elements(std::size_t count) {
  static_assert(alignof(T) <= 4096, "the collected heap aligns to 4096 bytes at most");
  if (count >= PTRDIFF_MAX / sizeof(T)) throw std::bad_array_new_length();
  // One byte more, so that a pointer to the end points into the array.
  void* memory = allocate(count * sizeof(T) + 1, alignof(T), kind_of<T>);
  open_to_use(memory, count * sizeof(T) + 1);
  return static_cast<T*>(memory);
}

/// What is no element any more keeps nothing alive. No barrier: whoever has read a reference here has it on a stack,
/// and stacks are scanned in the end.
template <class T>
void forget_elements(T* first, std::size_t count) noexcept {
  if constexpr (!noscan<T>) {
    if (count != 0) std::memset(static_cast<void*>(first), 0, count * sizeof(T));
  }
}

}  // namespace detail

/// As std::vector, with its elements on the collected heap: nothing is freed by hand, nothing is counted, and elements
/// may be or contain rt::ref. Copies copy the elements.
///
/// It stands wherever an rt::ref may: in objects of the heap, global variables, local variables, closures of rt::go;
/// not in memory of malloc (std::vector<rt::root<T>> may). Elements must need no destruction: numbers, rt::ref,
/// rt::string, rt::vector, structures of them. Instead of std::string use rt::string; of objects with destructors an
/// rt::ref.
///
/// A pointer or iterator to an element is always good for reading and writing: it keeps the memory alive. But after the
/// vector has grown it points to the old memory, whose elements the vector does not have any more.
///
/// Different green threads may use different vectors at once, and read one while none changes it. Members that grow it
/// allocate (see rt::make), and throw std::bad_alloc or std::length_error; then, and when a copy constructor of the
/// element throws in push_back, emplace_back, reserve or resize, nothing has changed. Where elements are moved inside
/// (insert, erase) and that throws, the vector is valid, its contents are not specified.
template <class T>
class vector {
  static_assert(std::is_trivially_destructible_v<T>,
                "elements on the collected heap are not destroyed: use rt::string instead of std::string, and an "
                "rt::ref to objects with destructors");

 public:
  using value_type = T;
  using size_type = std::size_t;
  using difference_type = std::ptrdiff_t;
  using reference = T&;
  using const_reference = const T&;
  using pointer = T*;
  using const_pointer = const T*;
  using iterator = T*;
  using const_iterator = const T*;
  using reverse_iterator = std::reverse_iterator<iterator>;
  using const_reverse_iterator = std::reverse_iterator<const_iterator>;

  vector() noexcept = default;
  explicit vector(size_type count) { resize(count); }
  vector(size_type count, const T& value) { resize(count, value); }
  vector(std::initializer_list<T> values) : vector(values.begin(), values.end()) {}
  template <std::input_iterator Iterator>
  vector(Iterator first, Iterator last) {
    if constexpr (std::forward_iterator<Iterator>) reserve(static_cast<size_type>(std::distance(first, last)));
    for (; first != last; ++first) emplace_back(*first);
  }
  vector(const vector& other) : vector(other.begin(), other.end()) {}
  vector(vector&& other) noexcept : first_(other.first_), size_(other.size_), capacity_(other.capacity_) {
    other.let_go();
  }
  ~vector() = default;
  vector& operator=(const vector& other) {
    if (this != &other) *this = vector(other);
    return *this;
  }
  vector& operator=(vector&& other) noexcept {
    if (this == &other) return *this;
    first_ = other.first_;
    size_ = other.size_;
    capacity_ = other.capacity_;
    other.let_go();
    return *this;
  }
  vector& operator=(std::initializer_list<T> values) { return *this = vector(values); }
  template <std::input_iterator Iterator>
  void assign(Iterator first, Iterator last) {
    *this = vector(first, last);
  }
  void assign(size_type count, const T& value) { *this = vector(count, value); }

  T* data() noexcept { return first_.get(); }
  const T* data() const noexcept { return first_.get(); }
  size_type size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }
  size_type capacity() const noexcept { return capacity_; }
  static constexpr size_type max_size() noexcept { return PTRDIFF_MAX / sizeof(T) - 1; }

  iterator begin() noexcept { return data(); }
  iterator end() noexcept { return data() + size_; }
  const_iterator begin() const noexcept { return data(); }
  const_iterator end() const noexcept { return data() + size_; }
  const_iterator cbegin() const noexcept { return data(); }
  const_iterator cend() const noexcept { return data() + size_; }
  reverse_iterator rbegin() noexcept { return reverse_iterator(end()); }
  reverse_iterator rend() noexcept { return reverse_iterator(begin()); }
  const_reverse_iterator rbegin() const noexcept { return const_reverse_iterator(end()); }
  const_reverse_iterator rend() const noexcept { return const_reverse_iterator(begin()); }

  T& operator[](size_type at) noexcept { return data()[at]; }
  const T& operator[](size_type at) const noexcept { return data()[at]; }
  /// @throws std::out_of_range
  T& at(size_type at) {
    check(at);
    return data()[at];
  }
  const T& at(size_type at) const {
    check(at);
    return data()[at];
  }
  T& front() noexcept { return data()[0]; }
  const T& front() const noexcept { return data()[0]; }
  T& back() noexcept { return data()[size_ - 1]; }
  const T& back() const noexcept { return data()[size_ - 1]; }

  void reserve(size_type count) {
    if (count > capacity_) move_to(new_elements(count), count);
  }
  void shrink_to_fit() {
    if (size_ == 0) {
      let_go();
    } else if (size_ < capacity_) {
      move_to(new_elements(size_), size_);
    }
  }
  /// The memory stays.
  void clear() noexcept { cut(0); }

  void push_back(const T& value) { emplace_back(value); }
  void push_back(T&& value) { emplace_back(std::move(value)); }
  template <class... Arguments>
  T& emplace_back(Arguments&&... arguments) {
    if (size_ == capacity_) {
      size_type count = grown(size_ + 1);
      T* to = new_elements(count);
      // First of all: an argument may be an element.
      detail::construct<T>(to + size_, std::forward<Arguments>(arguments)...);
      move_to(to, count);
    } else {
      detail::construct<T>(data() + size_, std::forward<Arguments>(arguments)...);
    }
    return data()[size_++];
  }
  void pop_back() noexcept { cut(size_ - 1); }
  void resize(size_type count) {
    grow_to(count, [](T* at) { ::new (static_cast<void*>(at)) T(); });
  }
  void resize(size_type count, const T& value) {
    if (count <= size_) return cut(count);
    T copy(value);  // it may be an element
    grow_to(count, [&](T* at) { ::new (static_cast<void*>(at)) T(copy); });
  }

  /// All of these return where the first new element, or the one after those that were erased, stands.
  template <class... Arguments>
  iterator emplace(const_iterator before, Arguments&&... arguments) {
    size_type at = index_of(before);
    emplace_back(std::forward<Arguments>(arguments)...);
    std::rotate(begin() + at, end() - 1, end());
    return begin() + at;
  }
  iterator insert(const_iterator before, const T& value) { return emplace(before, value); }
  iterator insert(const_iterator before, T&& value) { return emplace(before, std::move(value)); }
  iterator insert(const_iterator before, std::initializer_list<T> values) {
    return insert(before, values.begin(), values.end());
  }
  /// The range may be a part of this vector.
  template <std::input_iterator Iterator>
  iterator insert(const_iterator before, Iterator first, Iterator last) {
    size_type at = index_of(before);
    size_type old_size = size_;
    vector made(first, last);
    if (size_ + made.size() > capacity_) reserve(grown(size_ + made.size()));
    for (T& one : made) emplace_back(std::move(one));
    std::rotate(begin() + at, begin() + old_size, end());
    return begin() + at;
  }
  iterator erase(const_iterator one) { return erase(one, one + 1); }
  iterator erase(const_iterator first, const_iterator last) {
    size_type at = index_of(first);
    size_type count = static_cast<size_type>(last - first);
    if (count != 0) {
      std::move(begin() + at + count, end(), begin() + at);
      cut(size_ - count);
    }
    return begin() + at;
  }

  void swap(vector& other) noexcept {
    using std::swap;
    swap(first_, other.first_);
    std::swap(size_, other.size_);
    std::swap(capacity_, other.capacity_);
  }
  friend void swap(vector& a, vector& b) noexcept { a.swap(b); }

  friend bool operator==(const vector& a, const vector& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end());
  }
  friend auto operator<=>(const vector& a, const vector& b) requires std::three_way_comparable<T> {
    return std::lexicographical_compare_three_way(a.begin(), a.end(), b.begin(), b.end());
  }
  /// Erases all elements for which `condition(element)`; how many.
  template <class Condition>
  friend size_type erase_if(vector& from, Condition condition) {
    T* kept = std::remove_if(from.begin(), from.end(), condition);
    auto count = static_cast<size_type>(from.end() - kept);
    from.cut(from.size_ - count);
    return count;
  }

 private:
  static T* new_elements(size_type count) {
    if (count > max_size()) {
      throw std::length_error("rt::vector: " + std::to_string(count) + " elements are more than memory has");
    }
    return detail::allocate_elements<T>(count);
  }

  size_type index_of(const_iterator at) const noexcept { return static_cast<size_type>(at - data()); }
  void check(size_type at) const {
    if (at >= size_) {
      throw std::out_of_range("rt::vector::at: " + std::to_string(at) + " of " + std::to_string(size_));
    }
  }
  // At least half as much again, so that a growing vector copies each element a few times at most.
  size_type grown(size_type least) const noexcept {
    constexpr size_type first_bytes = 64;  // a vector that has any elements is likely to have a few
    size_type count = std::max(least, first_bytes / sizeof(T));
    return std::max(count, std::min(capacity_ + capacity_ / 2, max_size()));
  }
  void let_go() noexcept {
    first_ = nullptr;
    size_ = capacity_ = 0;
  }
  void cut(size_type count) noexcept {
    detail::forget_elements(data() + count, size_ - count);
    size_ = count;
  }
  // The elements are constructed in `to`. If that throws nothing has changed.
  void move_to(T* to, size_type count) {
    T* from = data();
    if constexpr (std::is_trivially_copyable_v<T> && noscan<T>) {
      if (size_ != 0) std::memcpy(static_cast<void*>(to), from, size_ * sizeof(T));
    } else {
      for (size_type i = 0; i < size_; ++i) ::new (static_cast<void*>(to + i)) T(std::move_if_noexcept(from[i]));
    }
    first_ = to;
    capacity_ = count;
  }
  template <class Construct>
  void grow_to(size_type count, const Construct& construct) {
    if (count <= size_) return cut(count);
    if (count > capacity_) {
      size_type room = grown(count);
      move_to(new_elements(room), room);
    }
    for (size_type i = size_; i < count; ++i) construct(data() + i);
    size_ = count;
  }
  ref<T> first_;
  size_type size_ = 0;
  size_type capacity_ = 0;
};

}  // namespace rt
