#include "runtime/heap/scavenger.h"

#include <algorithm>

#include "runtime/heap/heap_state.h"
#include "runtime/os/clock.h"
#include "runtime/os/memory.h"

namespace rt::detail {

namespace {

// The part of one CPU that it may use is 1 / (rest_factor + 1).
constexpr std::int64_t rest_factor = 99;
// Pages of one call: 512 KiB, some 20 us of work at most.
constexpr std::uint32_t piece_pages = 64;
// Kept beyond the goal, in parts of it, and at least, in bytes: a chunk.
constexpr std::size_t spare_part = 10;
constexpr std::size_t least_spare = heap_chunk_size;
// How often the use is looked at, in nanoseconds; the peak loses an eighth of what it is above the use each time, so
// that a spike is forgotten (to a hundredth) in 17 s.
constexpr std::int64_t look_every = 500'000'000;
constexpr std::size_t forgotten_part = 8;
constexpr std::uint32_t densest_worth_it = pages_per_chunk * 15 / 16;

}  // namespace

std::size_t scavenger::release_piece(std::uint32_t densest) noexcept {
  heap_state& heap = the_heap();
  page_run run = heap.pages.take_backed(piece_pages, densest);
  if (run.count == 0) return 0;
  std::size_t bytes = std::size_t{run.count} << heap_page_shift;
  os::discard_pages(the_layout.address_of(run.first), bytes);
  heap.pages.put_released(run);
  released_bytes_.fetch_add(bytes, std::memory_order_relaxed);
  return bytes;
}

std::size_t scavenger::to_keep(std::int64_t now) noexcept {
  std::size_t goal = goal_.load(std::memory_order_relaxed);
  if (goal == 0) {
    std::size_t used = heap_span_bytes();
    for (; now - peak_at_ >= look_every && peak_ > used; peak_at_ += look_every) {
      peak_ -= (peak_ - used) / forgotten_part + 1;
    }
    if (now - peak_at_ >= look_every) peak_at_ = now;
    peak_ = std::max(peak_, used);
    goal = peak_;
  }
  return goal + std::max(goal / spare_part, least_spare);
}

std::int64_t scavenger::step(std::int64_t now) noexcept {
  if (busy_.exchange(true, std::memory_order_acquire)) return now + look_every;  // pairs with the store below
  std::int64_t next = not_before_;
  if (now >= not_before_) {
    heap_state& heap = the_heap();
    std::uint64_t backed = (std::uint64_t{heap.pages.grown()} - heap.pages.released()) << heap_page_shift;
    std::size_t keep = to_keep(now);
    std::size_t released = backed > keep ? release_piece(densest_worth_it) : 0;
    if (released != 0) {
      std::int64_t worked = std::max<std::int64_t>(os::nanotime() - now, 0);
      worked_.fetch_add(static_cast<std::uint64_t>(worked), std::memory_order_relaxed);
      next = now + worked * (rest_factor + 1);
    } else {
      // Nothing is due while the use stays; a peak that is still remembered is forgotten later.
      next = peak_ > heap_span_bytes() + least_spare && goal_.load(std::memory_order_relaxed) == 0 ? now + look_every
                                                                                                   : INT64_MAX;
      not_before_ = now + look_every;
    }
    if (next != INT64_MAX) not_before_ = next;
  }
  busy_.store(false, std::memory_order_release);
  return next;
}

std::size_t scavenger::release_surplus(std::int64_t now) noexcept {
  if (busy_.exchange(true, std::memory_order_acquire)) return 0;  // pairs with the store below
  page_heap& pages = the_heap().pages;
  pages.look_at_all_again();
  std::size_t keep = to_keep(now);
  std::size_t released = 0;
  while (((std::uint64_t{pages.grown()} - pages.released()) << heap_page_shift) > keep) {
    std::size_t piece = release_piece(pages_per_chunk);
    if (piece == 0) break;
    released += piece;
  }
  busy_.store(false, std::memory_order_release);
  return released;
}

std::size_t scavenger::release_all() noexcept {
  the_heap().pages.look_at_all_again();
  std::size_t released = 0;
  while (std::size_t piece = release_piece(pages_per_chunk)) released += piece;
  return released;
}

}  // namespace rt::detail
