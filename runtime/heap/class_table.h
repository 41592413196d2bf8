// The shape of the spans of each size class: how many pages, how many slots, and the number that divides by the size.
//
// A span takes as few pages as leave at most a sixteenth of it unused behind the last slot, and as give it enough
// slots: what is done for a whole span (to take and give back its pages, to sweep it, to keep its owner's account) is
// shared by its slots, but its pages are free only when the last of them is dead. With what the classes themselves
// round up (a ninth at most) a request wastes less than a sixth of its memory, and one that is a multiple of 8 up to
// 128 bytes less than a fiftieth; a test computes the worst cases.
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
  // Measured with slots of 1 KiB: 8 of them 42 ns an object, 16 of them 38, 32 of them 26. But no more than 32 KiB for
  // that: each task has a span of each class that it uses on each P, and few classes above 2 KiB are used often.
  constexpr std::size_t enough_slots = 32;
  constexpr std::size_t most_pages_for_slots = 4;
  constexpr std::size_t largest_of_many = 2048;
  std::size_t pages = 1;
  while (size <= largest_of_many && pages < most_pages_for_slots && pages * heap_page_size / size < enough_slots) {
    ++pages;
  }
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
