// Finds the lowest run of free pages of a given length: a binary tree over the chunks of the heap.
//
// Each node knows of its range the free pages at the begin, those at the end, and the longest run of free pages in
// between. Finding and updating are one way down or up: 18 steps for 1 TiB. Node 1 is the root, the children of node n
// are 2n and 2n+1, the leaves are the chunks. A node is as long as its range, so memory that is all zero is a tree of
// nothing free, and only the parts over chunks in use are ever touched.
//
// Rejected: a treap of free runs, which needs memory to free memory; buddies, which round sizes up.
#pragma once

#include <cstddef>
#include <cstdint>

#include "runtime/heap/region.h"

namespace rt::detail {

/// The free pages of a range.
struct run_summary {
  std::uint32_t first = 0;    // in a row at the begin
  std::uint32_t longest = 0;  // in a row anywhere
  std::uint32_t last = 0;     // in a row at the end
  friend bool operator==(const run_summary&, const run_summary&) = default;
};

/// Free pages of one chunk: a bit each, 1 is free.
using chunk_bits = std::uint64_t[pages_per_chunk / 64];

run_summary summarise(const chunk_bits& free) noexcept;
/// Where the lowest run of `count` free pages begins; pages_per_chunk when there is none.
std::size_t find_run(const chunk_bits& free, std::size_t count) noexcept;

class page_summary {
 public:
  /// For `chunks` chunks, a power of two. False when the system refuses the address space.
  bool create(std::size_t chunks) noexcept;
  void destroy() noexcept;

  std::uint32_t longest() const noexcept { return nodes_[1].longest; }
  /// The free run of at least `count` pages that begins lowest; `free` are the bits of all chunks. longest() >= count.
  std::size_t find(std::size_t count, const chunk_bits* free) const noexcept;
  /// The bits of the chunks from `first` to `last`, inclusive, have changed.
  void update(std::size_t first, std::size_t last, const chunk_bits* free) noexcept;
  std::size_t table_bytes() const noexcept { return 2 * leaves_ * sizeof(run_summary); }
  run_summary of_chunk(std::size_t chunk) const noexcept { return nodes_[leaves_ + chunk]; }

 private:
  run_summary* nodes_ = nullptr;
  std::size_t leaves_ = 0;
};

}  // namespace rt::detail
