// The sizes in which the heap hands out memory. Public because rt::make chooses one at compile time.
//
// From 16 to 128 bytes each multiple of 8 is a class; above, each doubling is cut into eight equal steps, up to 32 KiB.
// So a request that is a multiple of 8 wastes nothing up to 128 bytes, and any other at most a ninth of its slot. A
// class is found by arithmetic alone, without a table. The numbers of Go's table differ: it has fewer classes below 128
// bytes, where C++ objects with three, five or seven words are common.
//
// Larger requests get whole pages of their own.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace rt::detail {

/// The largest request in bytes that shares its pages with others.
inline constexpr std::size_t largest_small_size = 32768;
inline constexpr std::size_t largest_fine_size = 128;  // up to here each multiple of 8 is a class
inline constexpr std::size_t fine_class_count = 15;    // 16, 24, … 128
inline constexpr std::size_t steps_per_doubling = 8;
inline constexpr std::size_t size_class_count = fine_class_count + 8 * steps_per_doubling;  // 8 doublings to 32 KiB

/// The smallest class whose slots hold `size` bytes; size <= largest_small_size.
constexpr std::size_t size_class_of(std::size_t size) noexcept {
  if (size <= largest_fine_size) return size <= 16 ? 0 : (size + 7) / 8 - 2;
  std::size_t exponent = static_cast<std::size_t>(std::bit_width(size - 1)) - 1;  // 7 for 129 … 256
  return fine_class_count + (exponent - 7) * steps_per_doubling +
         ((size - 1 - (std::size_t{1} << exponent)) >> (exponent - 3));
}

/// The size of the slots of a class, in bytes.
constexpr std::size_t size_of_class(std::size_t index) noexcept {
  if (index < fine_class_count) return (index + 2) * 8;
  std::size_t exponent = 7 + (index - fine_class_count) / steps_per_doubling;
  std::size_t step = (index - fine_class_count) % steps_per_doubling + 1;
  return (std::size_t{1} << exponent) + (step << (exponent - 3));
}

/// The same as size_class_of for an alignment (a power of two): slots begin at multiples of their size, from the begin
/// of a page, so the size must be a multiple of the alignment. size_class_count when no class will do.
constexpr std::size_t size_class_of(std::size_t size, std::size_t alignment) noexcept {
  if (size > largest_small_size) return size_class_count;
  std::size_t index = size_class_of(size);
  while (index < size_class_count && size_of_class(index) % alignment != 0) ++index;
  return index;
}

/// What the collector has to do with the objects of a span.
enum class span_kind : std::uint8_t {
  scanned,    // each word may be a pointer
  plain,      // no pointers: never looked into, and not zeroed before it is handed out
  destroyed,  // scanned; the last word of a slot is a destructor to call, or null
};
inline constexpr std::size_t span_kind_count = 3;

/// The place of a class and kind in tables that have both.
constexpr std::size_t run_index(std::size_t size_class, span_kind kind) noexcept {
  return size_class * span_kind_count + static_cast<std::size_t>(kind);
}
inline constexpr std::size_t run_index_count = size_class_count * span_kind_count;

}  // namespace rt::detail
