#include "runtime/gc/marker.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <new>
#include <utility>

namespace rt::detail {

namespace {

// Large objects are looked into by pieces of this size, in bytes: some 10 us each.
constexpr std::size_t piece_size = 16 * 1024;
// Set in mark_entry::where: the lower bits are the first page of a large object, and in the place of slots stands where
// the piece begins, in bytes from there.
constexpr std::uint64_t is_piece = std::uint64_t{1} << 63;
// Of a row with much in it so much is looked into until others have their turn, and everybody is asked whether it is
// enough, in bytes.
constexpr std::uint64_t most_in_turn = 4096;
// While fewer rows than this wait in the window, queued ones are added, so that what they refer to comes out of memory
// while others are looked into.
constexpr std::size_t read_ahead = 8;

constexpr std::size_t slots_of_row = 64;
constexpr std::size_t rows_of_span = most_slots / slots_of_row;

}  // namespace

// What looking for objects needs, in one place, so that the compiler keeps it in registers.
struct marker::look {
  std::uintptr_t base = the_layout.base;
  std::size_t size = the_layout.size;
  const std::atomic<std::uint64_t>* entries = the_layout.entries;
  span* spans = the_layout.spans;
  mark_window& window;
  explicit look(mark_window& into) noexcept : window(into) {}
};

mark_window& marker::window() noexcept {
  if (window_ == nullptr) {
    static_assert(sizeof(mark_window) <= sizeof(mark_buffer));
    window_ = ::new (static_cast<void*>(&pool_.take_empty())) mark_window;
  }
  return *window_;
}

void marker::shade(std::uintptr_t word) noexcept {
  object_place found;
  if (!find_object(word, found) || !found.in->try_mark(found.index)) return;
  marked_bytes_ += found.size;
  ++marked_objects_;
  if (found.in->kind.load(std::memory_order_relaxed) == span_kind::plain) return;
  std::uint64_t row_number = found.in->first_page() * std::uint64_t{rows_of_span} + found.index / slots_of_row;
  queue_.push({row_number, std::uint64_t{1} << found.index % slots_of_row});
}

// The word points to `offset` in the heap. What its span is stands in the page's entry; the span itself, and the
// object, are not touched before the row's turn.
inline void marker::find(const look& at, std::uintptr_t offset) noexcept {
  // Acquire: pairs with the publication of the span.
  page_entry page(at.entries[offset >> heap_page_shift].load(std::memory_order_acquire));
  if (!page.is_used()) return;
  const class_shape& shape = class_shapes[page.size_class()];
  std::size_t in_span = offset - (std::size_t{page.first_page()} << heap_page_shift);
  std::size_t index = in_span * std::uint64_t{shape.reciprocal} >> 32;
  if (index >= shape.slots) return;
  if (page.kind() != span_kind::plain) __builtin_prefetch(reinterpret_cast<const void*>(at.base + offset));
  std::uint64_t number = page.first_page() * std::uint64_t{rows_of_span} + index / slots_of_row;
  std::uint64_t slot = std::uint64_t{1} << index % slots_of_row;
  mark_window::row& place = at.window.place_of(number);
  if (place.number == number) {
    place.found |= slot;
    return;
  }
  span& in = at.spans[page.first_page()];
  __builtin_prefetch(&in);
  __builtin_prefetch(&in.marks[0], 1);
  __builtin_prefetch(&in.in_use[0]);
  find_in_row(number, slot, place);
}

void marker::find_in_row(std::uint64_t number, std::uint64_t slots, mark_window::row& place) noexcept {
  if (mark_window::is_free(place)) {
    window_->fill(place, {number, slots, 0});
    return;
  }
  mark_window::row before = std::exchange(place, {number, slots, 0});
  put_aside(before);
}

// To the queue, marked (invariant 1).
void marker::put_aside(const mark_window::row& row) noexcept {
  std::uint64_t slots = row.marked | mark(row.number, row.found);
  if (slots != 0) queue_.push({row.number, slots});
}

// Marks those of the slots that hold objects. The ones that are now to be looked into: they were not marked before.
std::uint64_t marker::mark(std::uint64_t row_number, std::uint64_t slots) noexcept {
  if (slots == 0) return 0;
  span& in = the_layout.spans[row_number / rows_of_span];
  std::size_t row = row_number % rows_of_span;
  slots = in.try_mark_row(row, in.allocated_of_row(row, slots));
  if (slots == 0) return 0;
  auto count = static_cast<std::size_t>(std::popcount(slots));
  marked_objects_ += count;
  marked_bytes_ += count * in.element_size();
  return in.kind.load(std::memory_order_relaxed) == span_kind::plain ? 0 : slots;
}

RT_GC_UNSEEN inline void marker::scan_words(const look& at, std::uintptr_t first, std::uintptr_t end) noexcept {
  for (std::uintptr_t place = first; place < end; place += sizeof(std::uintptr_t)) {
    std::uintptr_t offset = *reinterpret_cast<const volatile std::uintptr_t*>(place) - at.base;
    if (offset < at.size) find(at, offset);
  }
}

void marker::scan(const void* low, const void* high) noexcept {
  auto first = (reinterpret_cast<std::uintptr_t>(low) + sizeof(std::uintptr_t) - 1) & ~(sizeof(std::uintptr_t) - 1);
  auto end = reinterpret_cast<std::uintptr_t>(high) & ~(sizeof(std::uintptr_t) - 1);
  if (first >= end) return;
  scan_words(look(window()), first, end);
  scanned_bytes_ += end - first;
}

// False: there is nothing left, also in the pool.
bool marker::next_turn() noexcept {
  mark_entry entry;
  mark_window& mine = window();
  while (mine.count() < read_ahead && queue_.pop_own(entry)) {
    take_up(entry);
    if ((entry.where & is_piece) != 0) return true;
  }
  if (mine.count() == 0) {
    if (!queue_.pop(entry)) return false;
    take_up(entry);
  }
  if (mine.count() != 0) look_into(mine.take_first());
  return true;
}

void marker::take_up(const mark_entry& entry) noexcept {
  if ((entry.where & is_piece) != 0) {
    look_into_piece(entry);
    return;
  }
  mark_window::row& place = window_->place_of(entry.where);
  if (place.number == entry.where) {
    place.marked |= entry.slots;
    return;
  }
  if (!mark_window::is_free(place)) {  // rare: the window is nearly empty
    look_into({entry.where, 0, entry.slots});
    return;
  }
  window_->fill(place, {entry.where, 0, entry.slots});
  std::uint32_t first_page = static_cast<std::uint32_t>(entry.where / rows_of_span);
  std::size_t slot =
      entry.where % rows_of_span * slots_of_row + static_cast<std::size_t>(std::countr_zero(entry.slots));
  __builtin_prefetch(the_layout.address_of(first_page) +
                     slot * class_shapes[the_layout.entry(first_page).size_class()].size);
}

void marker::look_into(const mark_window::row& row) noexcept {
  std::uint64_t slots = row.marked | mark(row.number, row.found);
  if (slots == 0) return;
  auto first_page = static_cast<std::uint32_t>(row.number / rows_of_span);
  page_entry page = the_layout.entry(first_page);
  if (page.kind() == span_kind::plain) return;  // a chunk of an arena that has ended
  std::size_t size = class_shapes[page.size_class()].size;
  if (size == 0) {
    std::size_t bytes = the_layout.spans[first_page].bytes();
    for (std::size_t offset = 0; offset < bytes; offset += piece_size) queue_.push({is_piece | first_page, offset});
    return;
  }
  look at(*window_);
  auto begin = reinterpret_cast<std::uintptr_t>(the_layout.address_of(first_page)) +
               row.number % rows_of_span * slots_of_row * size;
  std::uint64_t scanned = 0;
  for (; slots != 0; slots &= slots - 1) {
    if (scanned >= most_in_turn) {
      queue_.push({row.number, slots});
      break;
    }
    std::uintptr_t slot = begin + static_cast<std::size_t>(std::countr_zero(slots)) * size;
    scan_words(at, slot, slot + size);
    scanned += size;
  }
  scanned_bytes_ += scanned;
}

void marker::look_into_piece(const mark_entry& piece) noexcept {
  auto first_page = static_cast<std::uint32_t>(piece.where & ~is_piece);
  const span& in = the_layout.spans[first_page];
  if (in.kind.load(std::memory_order_relaxed) == span_kind::plain) return;
  std::size_t end = std::min(piece.slots + piece_size, in.bytes());
  scan(in.begin() + piece.slots, in.begin() + end);
}

// With somebody who has nothing: what was queued, or else half of what was found.
void marker::share() noexcept {
  if (queue_.share() || window_ == nullptr) return;
  for (std::size_t left = window_->count() / 2; left != 0; --left) put_aside(window_->take_first());
  queue_.flush();
}

void marker::flush() noexcept {
  if (window_ != nullptr) {
    while (window_->count() != 0) put_aside(window_->take_first());
    pool_.give_empty(*::new (static_cast<void*>(std::exchange(window_, nullptr))) mark_buffer);
  }
  queue_.flush();
}

marker::counts marker::take_counts() noexcept {
  counts now{std::exchange(marked_bytes_, 0), std::exchange(marked_objects_, 0), scanned_bytes_ - scanned_before_};
  scanned_before_ = scanned_bytes_;
  return now;
}

}  // namespace rt::detail
