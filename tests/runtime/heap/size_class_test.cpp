#include <gtest/gtest.h>

#include <algorithm>

#include "rt/size_class.h"
#include "runtime/heap/class_table.h"

namespace rt::detail {
namespace {

TEST(size_class, is_the_smallest_that_holds_the_request) {
  for (std::size_t size = 1; size <= largest_small_size; ++size) {
    std::size_t index = size_class_of(size);
    ASSERT_LT(index, size_class_count) << size;
    ASSERT_GE(size_of_class(index), size);
    if (index > 0) {
      ASSERT_LT(size_of_class(index - 1), size);
    }
  }
}

TEST(size_class, grows_with_its_index) {
  for (std::size_t i = 1; i < size_class_count; ++i) EXPECT_GT(size_of_class(i), size_of_class(i - 1));
  EXPECT_EQ(size_of_class(0), 16U);
  EXPECT_EQ(size_of_class(size_class_count - 1), largest_small_size);
}

TEST(size_class, rounds_up_by_a_ninth_at_most) {
  for (std::size_t size = 17; size <= largest_small_size; ++size) {
    std::size_t slot = size_of_class(size_class_of(size));
    if (size <= largest_fine_size) {
      ASSERT_LT(slot - size, 8U) << size;
    } else {
      ASSERT_LE((slot - size) * 9, slot) << size;
    }
  }
}

TEST(size_class, of_an_alignment_is_a_multiple_of_it) {
  for (std::size_t alignment = 1; alignment <= 4096; alignment *= 2) {
    for (std::size_t size = 1; size <= largest_small_size; size += 1 + size / 16) {
      std::size_t index = size_class_of(size, alignment);
      if (index == size_class_count) continue;
      EXPECT_GE(size_of_class(index), size);
      EXPECT_EQ(size_of_class(index) % alignment, 0U) << size << " aligned to " << alignment;
    }
  }
  EXPECT_EQ(size_class_of(largest_small_size + 1, 8), size_class_count);
}

TEST(class_table, spans_hold_their_slots_and_waste_little) {
  for (std::size_t i = 0; i < size_class_count; ++i) {
    const class_shape& shape = class_shapes[i];
    std::size_t bytes = shape.pages * heap_page_size;
    EXPECT_EQ(shape.size, size_of_class(i));
    EXPECT_GE(shape.slots, 1);
    EXPECT_LE(shape.slots, most_slots);
    EXPECT_LE(shape.slots * shape.size, bytes);
    EXPECT_LE((bytes - shape.slots * shape.size) * 16, bytes) << "slots of " << shape.size;
    EXPECT_LE(shape.pages, most_small_pages);
  }
}

// What the heap's descriptions promise: of the memory of a full span a request uses at least so much.
TEST(class_table, waste_of_any_request_is_bounded) {
  double worst = 0;
  double worst_of_words = 0;
  for (std::size_t size = 17; size <= largest_small_size; ++size) {
    const class_shape& shape = class_shapes[size_class_of(size)];
    double used = static_cast<double>(size * shape.slots) / static_cast<double>(shape.pages * heap_page_size);
    if (size > largest_fine_size) worst = std::max(worst, 1 - used);
    if (size <= largest_fine_size && size % 8 == 0) worst_of_words = std::max(worst_of_words, 1 - used);
  }
  EXPECT_LE(worst, 1.0 / 6) << "of requests of more than 128 bytes";
  EXPECT_LE(worst_of_words, 1.0 / 50) << "of multiples of 8 up to 128 bytes";
}

TEST(class_table, reciprocal_divides_every_offset_exactly) {
  for (const class_shape& shape : class_shapes) {
    if (shape.size == 0) continue;
    for (std::size_t offset = 0; offset < shape.pages * heap_page_size; ++offset) {
      ASSERT_EQ(offset * std::uint64_t{shape.reciprocal} >> 32, offset / shape.size)
          << "offset " << offset << " among slots of " << shape.size;
    }
  }
}

}  // namespace
}  // namespace rt::detail
