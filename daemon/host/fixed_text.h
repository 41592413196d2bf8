// Building a text where nothing may be allocated: in a signal handler.
#pragma once

#include <cstddef>
#include <cstdint>

namespace rtd::host {

/// Appends to a buffer of its user's. What does not fit is left out and remembered. Every member is async-signal-safe.
class fixed_text {
 public:
  fixed_text(char* buffer, std::size_t size) noexcept : buffer_(buffer), size_(size) {}

  /// As it is.
  void append(const char* text) noexcept;
  void append_number(std::uint64_t value) noexcept;
  /// "0x1f"
  void append_hex(std::uint64_t value) noexcept;
  /// As the inside of a JSON string: quotes and backslashes escaped, everything but printable ASCII as "?". At most
  /// `most` bytes of `text` are looked at.
  void append_escaped(const char* text, std::size_t most) noexcept;

  std::size_t length() const noexcept { return length_; }
  bool overflowed() const noexcept { return overflowed_; }
  /// Back to an earlier length, as if nothing had been appended since.
  void cut(std::size_t length) noexcept {
    length_ = length;
    overflowed_ = false;
  }

 private:
  void put(char character) noexcept {
    if (length_ < size_) {
      buffer_[length_++] = character;
    } else {
      overflowed_ = true;
    }
  }

  char* buffer_;
  std::size_t size_;
  std::size_t length_ = 0;
  bool overflowed_ = false;
};

}  // namespace rtd::host
