#include "runtime/heap/page_heap.h"

#include <algorithm>
#include <bit>

#include "runtime/os/memory.h"

namespace rt::detail {

namespace {

constexpr std::size_t words_per_chunk = pages_per_chunk / 64;

// `count` ones from bit `first` on; first + count <= 64, count > 0.
constexpr std::uint64_t ones(std::size_t first, std::size_t count) noexcept {
  return (~std::uint64_t{0} >> (64 - count)) << first;
}

std::uint64_t& word_of(chunk_bits* bits, std::size_t page) noexcept {
  return bits[page / pages_per_chunk][page % pages_per_chunk / 64];
}

/// Calls `act` with each word that the pages lie in, and the mask of them in it.
template <class Act>
void for_words(std::size_t first, std::size_t count, const Act& act) {
  while (count > 0) {
    std::size_t in_word = std::min(count, 64 - first % 64);
    act(first, ones(first % 64, in_word));
    first += in_word;
    count -= in_word;
  }
}

std::uint64_t bits_where_rows_begin(std::uint64_t word, std::size_t length) noexcept {
  // After the loop a bit is set where at least `length` ones begin.
  std::size_t have = 1;
  while (have < length && word != 0) {
    std::size_t step = std::min(have, length - have);
    word &= word >> step;
    have += step;
  }
  return word;
}

}  // namespace

page_run page_cache::take(std::uint32_t count) noexcept {
  std::uint64_t begins = bits_where_rows_begin(free, count);
  if (begins == 0) return {};
  auto at = static_cast<std::size_t>(std::countr_zero(begins));
  std::uint64_t taken = ones(at, count);
  page_run run{first + static_cast<std::uint32_t>(at), count, (released & taken) == taken};
  free &= ~taken;
  released &= ~taken;
  return run;
}

bool page_heap::create(const heap_layout& layout) noexcept {
  os::spin_guard guard(lock_);
  layout_ = &layout;
  std::size_t chunks = layout.page_count() / pages_per_chunk;
  bits_bytes_ = chunks * sizeof(chunk_bits);
  free_ = static_cast<chunk_bits*>(os::reserve(bits_bytes_, 0, "rt: heap free pages"));
  released_bits_ = static_cast<chunk_bits*>(os::reserve(bits_bytes_, 0, "rt: heap released pages"));
  return free_ != nullptr && released_bits_ != nullptr && summary_.create(chunks);
}

void page_heap::destroy() noexcept {
  os::spin_guard guard(lock_);
  if (free_ != nullptr) os::release(free_, bits_bytes_);
  if (released_bits_ != nullptr) os::release(released_bits_, bits_bytes_);
  summary_.destroy();
  free_ = released_bits_ = nullptr;
}

bool page_heap::grow(std::uint32_t pages) noexcept {
  std::uint32_t end = grown_.load(std::memory_order_relaxed);
  std::uint32_t first_chunk = end / pages_per_chunk;
  // What is free at the end of the last chunk counts.
  std::uint32_t have = 0;
  for (std::uint32_t i = first_chunk; i > 0; --i) {
    run_summary last = summary_.of_chunk(i - 1);
    have += last.last;
    if (last.last != pages_per_chunk) break;
  }
  std::uint32_t missing = pages > have ? pages - have : 1;
  std::uint32_t chunks = (missing + pages_per_chunk - 1) / pages_per_chunk;
  if (chunks > layout_->page_count() / pages_per_chunk - first_chunk) return false;
  for (std::uint32_t i = first_chunk; i < first_chunk + chunks; ++i) {
    if (!open_chunk(*layout_, i)) return false;
  }
  for (std::uint32_t i = first_chunk; i < first_chunk + chunks; ++i) {
    std::fill_n(free_[i], words_per_chunk, ~std::uint64_t{0});
    std::fill_n(released_bits_[i], words_per_chunk, ~std::uint64_t{0});
  }
  summary_.update(first_chunk, first_chunk + chunks - 1, free_);
  released_.fetch_add(std::uint64_t{chunks} * pages_per_chunk, std::memory_order_relaxed);
  // Release: pairs with grown(); what lies below may be looked at.
  grown_.store((first_chunk + chunks) * pages_per_chunk, std::memory_order_release);
  return true;
}

// Marks free pages as taken; how many of them had no memory behind them.
std::uint32_t page_heap::take_bits(std::size_t first, std::size_t count) noexcept {
  std::uint32_t unbacked = 0;
  for_words(first, count, [&](std::size_t page, std::uint64_t mask) RT_NO_THREAD_SAFETY_ANALYSIS {
    word_of(free_, page) &= ~mask;
    std::uint64_t& released = word_of(released_bits_, page);
    unbacked += static_cast<std::uint32_t>(std::popcount(released & mask));
    released &= ~mask;
  });
  summary_.update(first / pages_per_chunk, (first + count - 1) / pages_per_chunk, free_);
  if (unbacked != 0) released_.fetch_sub(unbacked, std::memory_order_relaxed);
  return unbacked;
}

void page_heap::put_bits(std::size_t first, std::size_t count, bool released) noexcept {
  for_words(first, count, [&](std::size_t page, std::uint64_t mask) RT_NO_THREAD_SAFETY_ANALYSIS {
    word_of(free_, page) |= mask;
    if (released) word_of(released_bits_, page) |= mask;
  });
  auto last_chunk = static_cast<std::uint32_t>((first + count - 1) / pages_per_chunk);
  summary_.update(first / pages_per_chunk, last_chunk, free_);
  if (released) {
    released_.fetch_add(count, std::memory_order_relaxed);
  } else {
    backed_end_ = std::max(backed_end_, last_chunk + 1);
  }
}

page_run page_heap::allocate(std::uint32_t count) noexcept {
  os::spin_guard guard(lock_);
  if (summary_.longest() < count && !grow(count)) return {};
  std::size_t first = summary_.find(count, free_);
  std::uint32_t unbacked = take_bits(first, count);
  return {static_cast<std::uint32_t>(first), count, unbacked == count};
}

page_run page_heap::allocate(std::uint32_t count, page_cache& cache) noexcept {
  if (count <= most_cached_pages) {
    if (page_run run = cache.take(count); run.count != 0) return run;
    if (cache.free == 0) {
      os::spin_guard guard(lock_);
      if (summary_.longest() < count && !grow(count)) return {};
      std::size_t page = summary_.find(count, free_);
      // All that is free in the word in which the run begins; a run that ends in the next one is taken as it is.
      if (page % 64 + count <= 64) {
        std::size_t word = page / 64 * 64;
        cache.first = static_cast<std::uint32_t>(word);
        cache.free = word_of(free_, word);
        cache.released = word_of(released_bits_, word);
        word_of(free_, word) = 0;
        word_of(released_bits_, word) = 0;
        summary_.update(word / pages_per_chunk, word / pages_per_chunk, free_);
        released_.fetch_sub(static_cast<std::uint64_t>(std::popcount(cache.released)), std::memory_order_relaxed);
        return cache.take(count);
      }
      std::uint32_t unbacked = take_bits(page, count);
      return {static_cast<std::uint32_t>(page), count, unbacked == count};
    }
  }
  return allocate(count);
}

void page_heap::free(std::uint32_t first, std::uint32_t count) noexcept {
  os::spin_guard guard(lock_);
  put_bits(first, count, false);
}

void page_heap::empty(page_cache& cache) noexcept {
  if (cache.free == 0) return;
  os::spin_guard guard(lock_);
  word_of(free_, cache.first) |= cache.free;
  word_of(released_bits_, cache.first) |= cache.released;
  std::uint32_t chunk = cache.first / pages_per_chunk;
  summary_.update(chunk, chunk, free_);
  released_.fetch_add(static_cast<std::uint64_t>(std::popcount(cache.released)), std::memory_order_relaxed);
  if (cache.free != cache.released) backed_end_ = std::max(backed_end_, chunk + 1);
  cache = {};
}

page_run page_heap::take_backed(std::uint32_t most, std::uint32_t densest) noexcept {
  os::spin_guard guard(lock_);
  for (; backed_end_ > 0; --backed_end_) {
    std::uint32_t chunk = backed_end_ - 1;
    std::uint32_t free_pages = 0;
    for (std::uint64_t word : free_[chunk]) free_pages += static_cast<std::uint32_t>(std::popcount(word));
    if (free_pages == 0 || pages_per_chunk - free_pages > densest) continue;
    for (std::size_t i = words_per_chunk; i-- > 0;) {
      std::uint64_t backed = free_[chunk][i] & ~released_bits_[chunk][i];
      if (backed == 0) continue;
      std::size_t end = 64 - static_cast<std::size_t>(std::countl_zero(backed));
      std::uint64_t below = ~backed & (end == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << end) - 1);
      std::size_t begin = below == 0 ? 0 : 64 - static_cast<std::size_t>(std::countl_zero(below));
      auto count = static_cast<std::uint32_t>(std::min<std::size_t>(end - begin, most));
      auto first = static_cast<std::uint32_t>(chunk * pages_per_chunk + i * 64 + end - count);
      take_bits(first, count);
      return {first, count, false};
    }
  }
  return {};
}

void page_heap::look_at_all_again() noexcept {
  os::spin_guard guard(lock_);
  backed_end_ = grown_.load(std::memory_order_relaxed) / pages_per_chunk;
}

void page_heap::put_released(const page_run& run) noexcept {
  os::spin_guard guard(lock_);
  put_bits(run.first, run.count, true);
}

std::size_t page_heap::table_bytes() const noexcept {
  // Of each chunk: its two lines of bits, its places in the tree, and its page entries.
  std::size_t chunks = grown() / pages_per_chunk;
  return chunks * (2 * sizeof(chunk_bits) + 2 * sizeof(run_summary) + pages_per_chunk * sizeof(std::uint64_t));
}

bool page_heap::is_consistent() noexcept {
  os::spin_guard guard(lock_);
  std::uint64_t released = 0;
  std::uint32_t longest = 0;
  std::uint32_t row = 0;
  for (std::size_t page = 0; page < grown_.load(std::memory_order_relaxed); ++page) {
    std::uint64_t bit = std::uint64_t{1} << page % 64;
    bool is_free = (word_of(free_, page) & bit) != 0;
    bool is_released = (word_of(released_bits_, page) & bit) != 0;
    if (is_released && !is_free) return false;
    if (is_released) ++released;
    row = is_free ? row + 1 : 0;
    longest = std::max(longest, row);
    if (page % pages_per_chunk == 0 &&
        !(summary_.of_chunk(page / pages_per_chunk) == summarise(free_[page / pages_per_chunk]))) {
      return false;
    }
  }
  return longest == summary_.longest() && released == released_.load(std::memory_order_relaxed);
}

bool page_heap::has_free(std::uint32_t first, std::uint32_t count) noexcept {
  os::spin_guard guard(lock_);
  for (std::size_t page = first; page < first + count; ++page) {
    if ((word_of(free_, page) >> page % 64 & 1) != 0) return true;
  }
  return false;
}

}  // namespace rt::detail
