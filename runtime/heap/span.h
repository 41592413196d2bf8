// A span: pages that hold objects of one class and kind, of one task; or one large object.
//
// The descriptor lies in a table beside the heap, at the place of the span's first page, and takes four cache lines:
// what the span is, the mark bits, bits that belong to the collector, and which slots were in use when the span was
// swept last. A slot is in use if it was then, or if it has been handed out since: those lie below free_index, since
// free slots are handed out in the order of their addresses, in runs. The last run may still be open in a cache; the
// slots that the cache has not yet given to anyone are then not in use (is_allocated looks).
//
// Who writes what: the mark bits anybody, atomically, while the collector marks. All else belongs to whoever has the
// span: a cache, the lists of its heap_owner under their lock, or the sweeper, which takes it out of its list first
// (sweep.h). Others may read at any moment, so all members are atomics.
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "rt/make.h"
#include "runtime/heap/class_table.h"
#include "runtime/heap/region.h"

namespace rt::detail {

class heap_owner;
using slot_bits = std::atomic<std::uint64_t>[most_slots / 64];

/// Where a span is.
enum class span_place : std::uint8_t {
  none,    // its pages are free, or somebody makes or sweeps it
  cached,  // a cache takes slots from it
  listed,  // in one of the lists of its owner
};

/// Of a chunk of an arena that has ended (arena.cpp).
enum class span_end : std::uint8_t {
  none,       // it has not
  given_up,   // its memory has gone back to the system
  forbidden,  // and any touch of it faults
};

/// The bits of word `row` of slots below `index`.
constexpr std::uint64_t slots_below(std::size_t index, std::size_t row) noexcept {
  if (index <= row * 64) return 0;
  std::size_t count = index - row * 64;
  return count >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << count) - 1;
}

struct alignas(64) span {
  std::atomic<heap_owner*> owner;
  std::atomic<open_run*> open;  // the run that its cache takes slots from; null: it has no cache
  /// Of the collector alone (weak references, cleanups). While it is not null, sweeping calls
  /// collector_hooks::sweep_attachments first.
  std::atomic<void*> attachments;
  std::atomic<std::uint32_t> page_count;
  std::atomic<std::uint32_t> generation;     // sweep.h
  std::atomic<std::uint32_t> next;           // in a list: the span's first page plus one; 0 ends it
  std::atomic<std::uint32_t> previous;       // the same
  std::atomic<std::uint16_t> free_index;     // all slots below have been handed out
  std::atomic<std::uint16_t> live_at_sweep;  // slots that the last sweep found in use
  std::atomic<std::uint8_t> size_class;      // size_class_count: a large object
  std::atomic<span_kind> kind;
  std::atomic<span_place> place;
  std::atomic<bool> needs_zero;  // its free slots may hold what was there before
  std::atomic<span_end> end;
  /// Of the collector alone; zero in a new span.
  std::atomic<std::uint8_t> collector_state;

  alignas(64) slot_bits marks;
  alignas(64) slot_bits collector_bits;  // of the collector alone; zero in a new span and after each sweep
  alignas(64) slot_bits in_use;          // as of the last sweep

  const class_shape& shape() const noexcept { return class_shapes[size_class.load(std::memory_order_relaxed)]; }
  bool is_large() const noexcept { return size_class.load(std::memory_order_relaxed) == size_class_count; }
  std::size_t slot_count() const noexcept { return shape().slots; }
  /// Of a slot, in bytes; of a large object its pages.
  std::size_t element_size() const noexcept { return is_large() ? bytes() : shape().size; }
  std::uint32_t first_page() const noexcept { return static_cast<std::uint32_t>(this - the_layout.spans); }
  std::size_t bytes() const noexcept {
    return std::size_t{page_count.load(std::memory_order_relaxed)} << heap_page_shift;
  }
  char* begin() const noexcept { return the_layout.address_of(first_page()); }
  char* slot(std::size_t index) const noexcept { return begin() + index * shape().size; }

  /// Sets the mark; whether it was not set before.
  bool try_mark(std::size_t index) noexcept {
    std::atomic<std::uint64_t>& word = marks[index / 64];
    std::uint64_t bit = std::uint64_t{1} << index % 64;
    // Relaxed: who finds it set does nothing with the object; the end of marking orders all marks before all sweeps.
    if ((word.load(std::memory_order_relaxed) & bit) != 0) return false;
    return (word.fetch_or(bit, std::memory_order_relaxed) & bit) == 0;
  }
  /// The same for slots whose marks stand in word `row`: bits; those that were not set before.
  std::uint64_t try_mark_row(std::size_t row, std::uint64_t slots) noexcept {
    std::atomic<std::uint64_t>& word = marks[row];
    slots &= ~word.load(std::memory_order_relaxed);
    return slots == 0 ? 0 : slots & ~word.fetch_or(slots, std::memory_order_relaxed);
  }
  bool is_marked(std::size_t index) const noexcept {
    return (marks[index / 64].load(std::memory_order_relaxed) >> index % 64 & 1) != 0;
  }
  /// Whether the slot holds an object. While other threads allocate or sweep, right for objects that the caller has
  /// been told of, and for others the truth of some moment.
  bool is_allocated(std::size_t index) const noexcept {
    if (index >= free_index.load(std::memory_order_acquire)) {  // pairs with the carving of a run
      return (in_use[index / 64].load(std::memory_order_relaxed) >> index % 64 & 1) != 0;
    }
    const open_run* run = open.load(std::memory_order_acquire);  // the same
    if (run == nullptr) return true;
    // The race by name: *two runs in one look*. The cache may open another span's run between the two loads, and the
    // cursor of one that lies before this span would do with the end of one that lies behind it. So the cursor is read
    // again: change_run takes it away before it changes the end. What is unclear counts as an object.
    const char* address = slot(index);
    const char* cursor = run->next.load(std::memory_order_acquire);  // pairs with change_run, as does the next
    if (address < cursor || address >= run->end.load(std::memory_order_acquire)) return true;
    return cursor == nullptr || run->next.load(std::memory_order_relaxed) != cursor;
  }
  /// Of the slots whose marks stand in word `row` those for which is_allocated says yes.
  std::uint64_t allocated_of_row(std::size_t row, std::uint64_t slots) const noexcept {
    std::size_t handed_out = free_index.load(std::memory_order_acquire);  // as in is_allocated
    if (handed_out > row * 64 && open.load(std::memory_order_acquire) != nullptr) {
      std::uint64_t allocated = 0;
      for (std::uint64_t left = slots; left != 0; left &= left - 1) {
        if (is_allocated(row * 64 + static_cast<std::size_t>(std::countr_zero(left)))) allocated |= left & -left;
      }
      return allocated;
    }
    return slots & (in_use[row].load(std::memory_order_relaxed) | slots_below(handed_out, row));
  }
};
static_assert(sizeof(span) == 256, "four cache lines for each page of 8 KiB: 3.1 % at most");

/// An object of the heap.
struct object_place {
  span* in;
  std::size_t index;
  char* begin;
  std::size_t size;  // of its slot, bytes
};

/// The span that the address lies in; null when it lies in none.
inline span* span_of(std::uintptr_t address) noexcept {
  if (!the_layout.contains(address)) return nullptr;
  page_entry entry = the_layout.entry(the_layout.page_of(address));
  return entry.is_used() ? &the_layout.spans[entry.first_page()] : nullptr;
}

/// The object that a word points into, at its begin or anywhere in its slot; false when it points to none. Any word,
/// any thread, at any time. What the span is stands in the page's entry, so one line of the span is read: its bits.
inline bool find_object(std::uintptr_t word, object_place& found) noexcept {
  std::uintptr_t offset = word - the_layout.base;
  if (offset >= the_layout.size) return false;
  page_entry entry = the_layout.entry(static_cast<std::uint32_t>(offset >> heap_page_shift));
  if (!entry.is_used()) return false;
  span& in = the_layout.spans[entry.first_page()];
  const class_shape& shape = class_shapes[entry.size_class()];
  std::size_t in_span = offset - (std::size_t{entry.first_page()} << heap_page_shift);
  std::size_t index = in_span * std::uint64_t{shape.reciprocal} >> 32;
  if (index >= shape.slots || !in.is_allocated(index)) return false;
  char* begin = reinterpret_cast<char*>(word - in_span + index * shape.size);
  found = {&in, index, begin, shape.size != 0 ? shape.size : in.bytes()};
  return true;
}

/// Whether a word points into a slot whose mark is set. Any word, any thread, at any time.
inline bool points_to_marked(std::uintptr_t word) noexcept {
  std::uintptr_t offset = word - the_layout.base;
  if (offset >= the_layout.size) return false;
  page_entry entry = the_layout.entry(static_cast<std::uint32_t>(offset >> heap_page_shift));
  if (!entry.is_used()) return false;
  std::size_t in_span = offset - (std::size_t{entry.first_page()} << heap_page_shift);
  const class_shape& shape = class_shapes[entry.size_class()];
  std::size_t index = in_span * std::uint64_t{shape.reciprocal} >> 32;
  return index < shape.slots && the_layout.spans[entry.first_page()].is_marked(index);
}

}  // namespace rt::detail
