// Strings on the collected heap.
#pragma once

#include <algorithm>
#include <compare>
#include <cstddef>
#include <cstring>
#include <functional>
#include <ostream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>

#include "rt/hash.h"
#include "rt/make.h"
#include "rt/ref.h"

namespace rt {

/// A string that never changes, as Go's: two words, its characters on the collected heap in memory that is not scanned.
/// Copies and parts (substr) share the characters, so both cost nothing; a part keeps the whole in memory. Any bytes.
///
/// It stands wherever an rt::ref may: in objects of the heap, global variables, local variables, closures of rt::go;
/// not in memory of malloc. It converts to std::string_view, and is compared and hashed as one; the view is valid while
/// the string, or a copy, is. There is no end mark: for the system's calls take std::string(view).
///
/// Different green threads may use one string at once while none assigns to it. None of its members blocks, but those
/// that make a new string allocate (see rt::make), and throw std::bad_alloc.
class string {
 public:
  using value_type = char;
  using size_type = std::size_t;
  using difference_type = std::ptrdiff_t;
  using const_reference = const char&;
  using reference = const char&;
  using const_iterator = const char*;
  using iterator = const char*;
  static constexpr size_type npos = std::string_view::npos;

  string() noexcept = default;
  explicit(false) string(std::string_view text)
      : string(filled(text.size(), [&](char* to) { std::memcpy(to, text.data(), text.size()); })) {}
  explicit(false) string(const char* text) : string(std::string_view(text)) {}
  explicit(false) string(const std::string& text) : string(std::string_view(text)) {}

  /// A string of `size` characters that `fill(char* to)` writes; it must write all of them.
  template <class Fill>
  static string filled(size_type size, const Fill& fill) {
    string made;
    if (size == 0) return made;
    if (size > PTRDIFF_MAX - 1) throw std::length_error("rt::string: too long");
    // One more, so that a pointer to the end points into it.
    char* text = static_cast<char*>(detail::allocate(size + 1, 1, detail::span_kind::plain));
    detail::open_to_use(text, size + 1);
    fill(text);
    made.text_ = text;
    made.size_ = size;
    return made;
  }

  explicit(false) operator std::string_view() const noexcept { return {text_.get(), size_}; }
  std::string_view view() const noexcept { return *this; }

  const char* data() const noexcept { return text_.get(); }
  size_type size() const noexcept { return size_; }
  size_type length() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }
  const char* begin() const noexcept { return text_.get(); }
  const char* end() const noexcept { return text_.get() + size_; }
  const char& operator[](size_type at) const noexcept { return text_.get()[at]; }
  const char& front() const noexcept { return text_.get()[0]; }
  const char& back() const noexcept { return text_.get()[size_ - 1]; }
  /// @throws std::out_of_range
  const char& at(size_type at) const {
    if (at >= size_) {
      throw std::out_of_range("rt::string::at: " + std::to_string(at) + " of " + std::to_string(size_));
    }
    return text_.get()[at];
  }

  /// The part of at most `count` characters from `from` on; shares the characters. @throws std::out_of_range when
  /// `from` is beyond the end
  string substr(size_type from, size_type count = npos) const {
    if (from > size_) {
      throw std::out_of_range("rt::string::substr: from " + std::to_string(from) + " of " + std::to_string(size_));
    }
    string part;
    part.size_ = std::min(count, size_ - from);
    if (part.size_ != 0) part.text_ = text_.get() + from;
    return part;
  }

  size_type find(std::string_view text, size_type from = 0) const noexcept { return view().find(text, from); }
  size_type find(char one, size_type from = 0) const noexcept { return view().find(one, from); }
  size_type rfind(std::string_view text, size_type from = npos) const noexcept { return view().rfind(text, from); }
  bool starts_with(std::string_view text) const noexcept { return view().starts_with(text); }
  bool ends_with(std::string_view text) const noexcept { return view().ends_with(text); }
  int compare(std::string_view text) const noexcept { return view().compare(text); }

  friend bool operator==(const string& a, const string& b) noexcept { return a.view() == b.view(); }
  friend std::strong_ordering operator<=>(const string& a, const string& b) noexcept { return a.view() <=> b.view(); }
  template <class Text>
    requires(std::is_convertible_v<const Text&, std::string_view> && !std::is_same_v<Text, string>)
  friend bool operator==(const string& a, const Text& b) noexcept { return a.view() == std::string_view(b); }
  template <class Text>
    requires(std::is_convertible_v<const Text&, std::string_view> && !std::is_same_v<Text, string>)
  friend std::strong_ordering operator<=>(const string& a, const Text& b) noexcept {
    return a.view() <=> std::string_view(b);
  }

  /// A new string, of both. For many parts, collect them in a std::string or rt::vector<char>, and make one in the end.
  friend string operator+(const string& a, const string& b) { return joined(a, b); }
  template <class Text>
    requires(std::is_convertible_v<const Text&, std::string_view> && !std::is_same_v<Text, string>)
  friend string operator+(const string& a, const Text& b) { return joined(a, b); }
  template <class Text>
    requires(std::is_convertible_v<const Text&, std::string_view> && !std::is_same_v<Text, string>)
  friend string operator+(const Text& a, const string& b) { return joined(a, b); }

  friend std::ostream& operator<<(std::ostream& to, const string& one) { return to << one.view(); }

 private:
  static string joined(std::string_view a, std::string_view b) {
    if (a.size() > PTRDIFF_MAX - 1 - b.size()) throw std::length_error("rt::string: too long");
    return filled(a.size() + b.size(), [&](char* to) {
      if (!a.empty()) std::memcpy(to, a.data(), a.size());
      if (!b.empty()) std::memcpy(to + a.size(), b.data(), b.size());
    });
  }

  ref<const char> text_;
  size_type size_ = 0;
};

template <>
struct hash<string> : hash<std::string_view> {};

}  // namespace rt

template <>
struct std::hash<rt::string> {
  std::size_t operator()(const rt::string& one) const noexcept { return std::hash<std::string_view>()(one); }
};
