// The shape of the spans of each size class: how many pages, how many slots, and the number that divides by the size.
//
// A span takes as few pages as leave at most a sixteenth of it unused behind the last slot. With what the classes
// themselves round up (a ninth at most) a request wastes less than a sixth of its memory, and one that is a multiple of
// 8 up to 128 bytes less than a fiftieth; a test computes the worst cases.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "rt/size_class.h"
#include "runtime/heap/region.h"

namespace rt::detail {

/// The most slots of a span: 8 KiB of 16 bytes.
inline constexpr std::size_t most_slots = 512;
/// The most pages of a span of small objects.
inline constexpr std::size_t most_small_pages = 16;

struct class_shape {
  std::uint32_t size;        // of a slot, bytes; 0: large objects, one to a span
  std::uint32_t reciprocal;  // 2^32 / size rounded up: multiplying by it divides offsets in a span exactly
  std::uint16_t slots;
  std::uint16_t pages;
};

constexpr class_shape shape_for(std::size_t size) noexcept {
  constexpr std::size_t unused_part = 16;  // at most one 16th of a span
  std::size_t pages = 1;
  while (pages < most_small_pages &&
         (pages * heap_page_size < size || pages * heap_page_size % size * unused_part > pages * heap_page_size)) {
    ++pages;
  }
  return {static_cast<std::uint32_t>(size), static_cast<std::uint32_t>(((std::uint64_t{1} << 32) + size - 1) / size),
          static_cast<std::uint16_t>(pages * heap_page_size / size), static_cast<std::uint16_t>(pages)};
}

/// By size class; the last one is of large objects, whose only slot has index 0.
inline constexpr auto class_shapes = [] {
  std::array<class_shape, size_class_count + 1> shapes{};
  for (std::size_t i = 0; i < size_class_count; ++i) shapes[i] = shape_for(size_of_class(i));
  shapes[size_class_count] = {0, 0, 1, 0};
  return shapes;
}();

}  // namespace rt::detail
