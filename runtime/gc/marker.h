// Marking: from words that may be pointers to objects, and through objects to others.
//
// Every word is taken for a pointer if it points into a slot that holds an object, at its begin or inside. Of small
// objects many are marked and looked into at once (span-batched marking). What a marker finds it collects in a window
// of its own: rows, each of which is the 64 slots of a span whose mark bits are one word (mark_window.h). When a row's
// turn comes, all of its slots that were found so far are looked up, marked by one instruction, and looked into in the
// order of their addresses. So an object costs a 64th of a locked instruction where its neighbours are found in time,
// and its memory, its span and its marks were called for when it was found, some hundred objects before they are
// needed.
//
// The window is small, first in first out. What has no place in it is marked and goes to the queue (mark_queue.h), last
// in first out; from there it comes back when the window is nearly empty. So a marker goes through the heap in depth
// first, and in breadth through what fits into the window, which is about what fits into the second level cache: that
// fills rows, and memory comes from near by. Large objects are looked into in pieces, and rows of larger ones by a few
// kilobytes, so that neither one marker is busy with one for long nor the others have nothing.
//
// Invariants
//   1 A slot becomes marked once, by whoever sets its bit; that one looks into it or queues it, unless it holds no
//     pointers. In the queue are marked slots alone, so it never has more entries than there are objects and pieces.
//   2 What was found is in one window, unmarked, until it is marked: a window is emptied, by its marker, before marking
//     can be over (drain, flush). It belongs to one thread, so nobody else waits for it or looks at it.
//   3 What the barrier is told (shade) is marked at once: those who mark for a P look into nothing, so no turn would
//   come.
//
// The races by name. *Two find one slot*: both have it in their windows; one of them sets the bit, the other one finds
// it set and has nothing to do. *Allocated since*: a slot was free when a stale word pointed to it, and holds an object
// at the row's turn: it was marked when it was handed out. *Another span*: nothing is swept while the collector marks,
// so what a row's number means stays. Only a chunk of an arena may end meanwhile; its kind is read at the row's turn.
//
// What is looked into may be written by others at the same time: words are read one by one, whole, and what is missed
// is the write barrier's business (collector.cpp).
//
// Rejected: the queue of spans of Go's Green Tea. There a span has bits for what was scanned besides those for what is
// marked, and whoever marks the first object of a span since its last scan queues it: what is found by different
// markers comes together, but each object costs a locked instruction, and each span a word that says who has it. A bit
// that is set in a table of one's own costs none, and 64 of them one. Breadth first through the whole heap, as Green
// Tea does without a bound: rows are fuller, but a tree of 32 MiB comes by as often as it has levels below its 15th. To
// look at the mark when an object is found: its line is not there yet. To look into what a row's objects point to in
// the row itself in the same turn, past the window: a tree takes a third longer, in waves that get smaller, each with
// its locked instruction, and with nothing read ahead. An early buffer for words of the range, looked up without a jump
// that is hard to predict: not faster.
#pragma once

#include <cstddef>
#include <cstdint>

#include "runtime/gc/mark_queue.h"
#include "runtime/gc/mark_window.h"
#include "runtime/heap/span.h"

namespace rt::detail {

/// Reads a word that others may write. Not to be seen by the sanitizers, which would report the race, and the poison
/// around objects on a stack.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define RT_GC_UNSEEN __attribute__((no_sanitize("address", "thread")))
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define RT_GC_UNSEEN __attribute__((no_sanitize("address", "thread")))
#endif
#endif
#ifndef RT_GC_UNSEEN
#define RT_GC_UNSEEN
#endif

/// On cache lines of its own: two that lie side by side make marking take half as long again.
class alignas(64) marker {
 public:
  explicit marker(mark_pool& pool) noexcept : pool_(pool), queue_(pool) {}
  marker(const marker&) = delete;
  marker& operator=(const marker&) = delete;

  /// Marks the object that `word` points to, if it does, at once.
  void shade(std::uintptr_t word) noexcept;
  /// Finds what the aligned words of [low, high) point to.
  void scan(const void* low, const void* high) noexcept;

  /// Looks into what was found or queued, also by others, until there is nothing (true) or `enough()` says so; it is
  /// asked after every few kilobytes. Shares what it has when `hungry()`.
  template <class Enough, class Hungry>
  bool drain(const Enough& enough, const Hungry& hungry) noexcept {
    std::uint64_t ask_at = scanned_bytes_ + ask_every;
    while (next_turn()) {
      if (scanned_bytes_ < ask_at) continue;
      ask_at = scanned_bytes_ + ask_every;
      if (hungry()) share();
      if (enough()) return false;
    }
    return true;
  }
  /// Marks what was found, and gives all that is to be looked into to the pool.
  void flush() noexcept;

  /// So far.
  std::uint64_t scanned_bytes() const noexcept { return scanned_bytes_; }
  /// Bytes of objects that were marked, and looked into, since the last call.
  struct counts {
    std::uint64_t marked_bytes = 0;
    std::uint64_t marked_objects = 0;
    std::uint64_t scanned_bytes = 0;
  };
  counts take_counts() noexcept;

 private:
  // In bytes; some 5 us of work.
  static constexpr std::uint64_t ask_every = 4096;

  struct look;
  mark_window& window() noexcept;
  void find(const look& at, std::uintptr_t offset) noexcept;
  void find_in_row(std::uint64_t number, std::uint64_t slots, mark_window::row& place) noexcept;
  void scan_words(const look& at, std::uintptr_t first, std::uintptr_t end) noexcept;
  bool next_turn() noexcept;
  void take_up(const mark_entry& entry) noexcept;
  void look_into(const mark_window::row& row) noexcept;
  void look_into_piece(const mark_entry& piece) noexcept;
  std::uint64_t mark(std::uint64_t row_number, std::uint64_t slots) noexcept;
  void put_aside(const mark_window::row& row) noexcept;
  void share() noexcept;

  mark_pool& pool_;
  mark_queue queue_;
  mark_window* window_ = nullptr;  // a page of the pool
  std::uint64_t marked_bytes_ = 0;
  std::uint64_t marked_objects_ = 0;
  std::uint64_t scanned_bytes_ = 0;
  std::uint64_t scanned_before_ = 0;
};

}  // namespace rt::detail
