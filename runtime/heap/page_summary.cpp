#include "runtime/heap/page_summary.h"

#include <algorithm>
#include <bit>

#include "runtime/os/memory.h"

namespace rt::detail {

namespace {

constexpr std::size_t words_per_chunk = pages_per_chunk / 64;

// The longest row of ones: each step takes one off every row.
std::uint32_t longest_row(std::uint64_t word) noexcept {
  std::uint32_t length = 0;
  for (; word != 0; word &= word >> 1) ++length;
  return length;
}

run_summary merge(const run_summary& low, const run_summary& high, std::uint32_t half) noexcept {
  return {low.first == half ? half + high.first : low.first,
          std::max({low.longest, high.longest, low.last + high.first}),
          high.last == half ? half + low.last : high.last};
}

}  // namespace

run_summary summarise(const chunk_bits& free) noexcept {
  run_summary sum;
  std::uint32_t row = 0;  // that reaches to the end of what has been seen
  bool unbroken = true;   // from the begin
  for (std::uint64_t word : free) {
    if (word == ~std::uint64_t{0}) {
      row += 64;
      continue;
    }
    row += static_cast<std::uint32_t>(std::countr_one(word));
    if (unbroken) {
      sum.first = row;
      unbroken = false;
    }
    sum.longest = std::max(sum.longest, row);
    row = static_cast<std::uint32_t>(std::countl_one(word));
    if (static_cast<std::uint32_t>(std::popcount(word)) > sum.longest)
      sum.longest = std::max(sum.longest, longest_row(word));
  }
  if (unbroken) return {row, row, row};
  sum.longest = std::max(sum.longest, row);
  sum.last = row;
  return sum;
}

std::size_t find_run(const chunk_bits& free, std::size_t count) noexcept {
  std::size_t row = 0;
  for (std::size_t i = 0; i < words_per_chunk; ++i) {
    std::uint64_t word = free[i];
    for (std::size_t bit = 0; bit < 64;) {
      std::uint64_t rest = word >> bit;
      if (rest == 0) {
        row = 0;
        break;
      }
      std::size_t gap = static_cast<std::size_t>(std::countr_zero(rest));
      if (gap != 0) row = 0;
      bit += gap;
      std::size_t ones = std::min<std::size_t>(static_cast<std::size_t>(std::countr_one(word >> bit)), 64 - bit);
      row += ones;
      bit += ones;
      if (row >= count) return i * 64 + bit - row;
    }
  }
  return pages_per_chunk;
}

bool page_summary::create(std::size_t chunks) noexcept {
  leaves_ = chunks;
  nodes_ = static_cast<run_summary*>(os::reserve(table_bytes(), 0, "rt: heap free-page summaries"));
  return nodes_ != nullptr;
}

void page_summary::destroy() noexcept {
  if (nodes_ != nullptr) os::release(nodes_, table_bytes());
  nodes_ = nullptr;
}

std::size_t page_summary::find(std::size_t count, const chunk_bits* free) const noexcept {
  std::size_t node = 1;
  std::size_t begin = 0;  // of the node's range, in pages
  std::size_t length = leaves_ * pages_per_chunk;
  while (node < leaves_) {
    const run_summary& low = nodes_[2 * node];
    const run_summary& high = nodes_[2 * node + 1];
    length /= 2;
    if (low.longest >= count) {
      node = 2 * node;
    } else if (low.last + high.first >= count) {
      return begin + length - low.last;
    } else {
      node = 2 * node + 1;
      begin += length;
    }
  }
  return begin + find_run(free[node - leaves_], count);
}

void page_summary::update(std::size_t first, std::size_t last, const chunk_bits* free) noexcept {
  for (std::size_t i = first; i <= last; ++i) nodes_[leaves_ + i] = summarise(free[i]);
  std::uint32_t half = pages_per_chunk;
  for (std::size_t low = (leaves_ + first) / 2, high = (leaves_ + last) / 2; low != 0; low /= 2, high /= 2) {
    for (std::size_t i = low; i <= high; ++i) nodes_[i] = merge(nodes_[2 * i], nodes_[2 * i + 1], half);
    half *= 2;
  }
}

}  // namespace rt::detail
