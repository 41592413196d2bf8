// Where a marker collects what it finds: rows of slots, first in first out.
//
// A row is the 64 slots of a span whose mark bits stand in one word. A slot that is found is a bit in its row here; the
// row is marked and looked into when its turn comes, with all its slots that have been found meanwhile. See marker.h
// for what that is good for.
//
// A row lies at the place that its number gives. One that is found while another one lies there takes its place, and
// its turn, and the other one is handed to the marker's queue.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace rt::detail {

class mark_window {
 public:
  struct row {
    std::uint64_t number;  // first page of the span * 8 + word
    std::uint64_t found;   // slots that were pointed to: nobody has looked whether they hold objects, or are marked
    std::uint64_t marked;  // slots that are marked, and not looked into
  };
  /// A power of two. Rows of small objects are 1 KiB and more: with so many what a marker is at fits into the second
  /// level cache, and with some prefetched long before their turn.
  static constexpr std::size_t places = 128;

  mark_window() noexcept { rows_.fill({none, 0, 0}); }

  std::size_t count() const noexcept { return count_; }
  /// Where the row lies, or another one, or none.
  row& place_of(std::uint64_t number) noexcept { return rows_[number * spread >> shift]; }
  static bool is_free(const row& place) noexcept { return place.number == none; }
  /// Fills a free place: its turn is the last.
  void fill(row& place, const row& with) noexcept {
    place = with;
    turns_[(first_ + count_++) % places] = static_cast<std::uint8_t>(&place - rows_.data());
  }
  /// The row whose turn it is; count() != 0.
  row take_first() noexcept {
    row& place = rows_[turns_[first_]];
    first_ = (first_ + 1) % places;
    --count_;
    row taken = place;
    place.number = none;
    return taken;
  }

 private:
  static constexpr std::uint64_t none = UINT64_MAX;
  // 2^64 divided by the golden ratio: numbers that follow each other, with whatever step, go far apart.
  static constexpr std::uint64_t spread = 0x9e3779b97f4a7c15;
  static constexpr int shift = 64 - 7;
  static_assert(std::uint64_t{1} << (64 - shift) == places);

  std::array<row, places> rows_;
  std::array<std::uint8_t, places> turns_;  // places in the order of their turns, a ring
  std::size_t first_ = 0;
  std::size_t count_ = 0;
};

}  // namespace rt::detail
