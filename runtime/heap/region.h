// The address range of the collected heap, and what is known about each of its pages.
//
// One range is reserved for the life of the process, so whether a word may be a pointer to an object is one subtraction
// and one compare. Beside it lie two tables with a place for each page of 8 KiB: the page's entry, which says in one
// word what its span is, and the descriptor of the span that begins there. Reserved memory that nobody has touched
// costs nothing and reads as zero, so every address of the range can be looked up at any moment, without a lock, while
// spans come and go.
//
// The base is random. Its upper half is an unusual number, so that pairs of small numbers, of which programs are full,
// are not taken for pointers.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "rt/size_class.h"

namespace rt::detail {

struct span;

inline constexpr std::size_t heap_page_shift = 13;
inline constexpr std::size_t heap_page_size = std::size_t{1} << heap_page_shift;
/// The heap grows by chunks: 4 MiB, two huge pages of x86-64, whose page entries fill one page of the table.
inline constexpr std::size_t pages_per_chunk = 512;
inline constexpr std::size_t heap_chunk_size = pages_per_chunk * heap_page_size;

/// What a page belongs to: the first page of its span, the span's class and kind, packed into one word so that they are
/// read at once. Zero: to none.
class page_entry {
 public:
  constexpr page_entry() noexcept = default;
  constexpr page_entry(std::uint32_t first_page, std::size_t size_class, span_kind kind) noexcept
      : bits_(in_use | std::uint64_t{first_page} | static_cast<std::uint64_t>(size_class) << 32 |
              static_cast<std::uint64_t>(kind) << 40) {}
  explicit constexpr page_entry(std::uint64_t bits) noexcept : bits_(bits) {}

  constexpr bool is_used() const noexcept { return bits_ != 0; }
  constexpr std::uint32_t first_page() const noexcept { return static_cast<std::uint32_t>(bits_); }
  /// size_class_count: a large object.
  constexpr std::size_t size_class() const noexcept { return bits_ >> 32 & 0xff; }
  constexpr span_kind kind() const noexcept { return static_cast<span_kind>(bits_ >> 40 & 0xff); }
  constexpr std::uint64_t bits() const noexcept { return bits_; }

 private:
  static constexpr std::uint64_t in_use = std::uint64_t{1} << 63;
  std::uint64_t bits_ = 0;
};

/// Where everything lies. Written once, before the first object is made; zero before, when no address is in the heap.
struct heap_layout {
  std::uintptr_t base = 0;
  std::size_t size = 0;  // bytes; a power of two
  std::atomic<std::uint64_t>* entries = nullptr;
  span* spans = nullptr;

  bool contains(std::uintptr_t address) const noexcept { return address - base < size; }
  std::uint32_t page_of(std::uintptr_t address) const noexcept {
    return static_cast<std::uint32_t>((address - base) >> heap_page_shift);
  }
  char* address_of(std::uint32_t page) const noexcept {
    return reinterpret_cast<char*>(base + (std::size_t{page} << heap_page_shift));
  }
  std::uint32_t page_count() const noexcept { return static_cast<std::uint32_t>(size >> heap_page_shift); }
  /// Acquire: pairs with the publication of the span; its descriptor is complete.
  page_entry entry(std::uint32_t page) const noexcept {
    return page_entry(entries[page].load(std::memory_order_acquire));
  }
};

extern heap_layout the_layout;

/// Reserves a range of `size` bytes and its tables. False when the system refuses.
bool reserve_heap(heap_layout& layout, std::size_t size) noexcept;
/// Reserves the range of the_layout, as much as the system grants; ends the process when that is not even 256 MiB.
void reserve_the_heap() noexcept;
/// Makes a chunk and its places in the tables writable. False when the system refuses.
bool open_chunk(const heap_layout& layout, std::uint32_t chunk) noexcept;

}  // namespace rt::detail
