#include "runtime/heap/allocation_cache.h"

#include <algorithm>
#include <bit>

#include "runtime/heap/heap_state.h"
#include "runtime/heap/poison.h"
#include "runtime/heap/sweep.h"
#include "runtime/os/clock.h"

namespace rt::detail {

namespace {

constexpr std::memory_order relaxed = std::memory_order_relaxed;
// The longest run in bytes, unless one slot is longer: a part of the first-level cache (32 KiB at least).
constexpr std::size_t longest_run = 8192;
// How many unswept spans a thread sweeps in search of a free slot until it takes fresh pages: some microseconds.
constexpr std::size_t most_sweeps = 64;

// The bits of the range in its word `word`.
constexpr std::uint64_t bits_in(const slot_range& range, std::size_t word) noexcept {
  std::size_t low = std::max(range.first, word * 64) - word * 64;
  std::size_t high = std::min(range.end, word * 64 + 64) - word * 64;
  return (~std::uint64_t{0} >> (64 - (high - low))) << low;
}

void mark_slots(span& in, const slot_range& range) noexcept {
  for (std::size_t i = range.first / 64; i * 64 < range.end; ++i) in.marks[i].fetch_or(bits_in(range, i), relaxed);
}

}  // namespace

// Slots of the open run that nobody has yet.
std::size_t allocation_cache::left(std::size_t index) const noexcept {
  // The cursor may be beyond an end that was read before it.
  const char* cursor = of[index].next.load(std::memory_order_acquire);
  const char* end = of[index].end.load(std::memory_order_acquire);
  return cursor == nullptr || cursor >= end
             ? 0
             : static_cast<std::size_t>(end - cursor) / size_of_class(index / span_kind_count);
}

std::uint64_t allocation_cache::allocated(std::size_t index) const noexcept {
  // A writer is done within nanoseconds, unless its thread loses its CPU in between: then what is there is the answer.
  constexpr int tries = 1000;
  for (int i = 0;; ++i) {
    std::uint32_t sequence = changes_.load(std::memory_order_acquire);  // these pair with change_run
    std::uint64_t carved = carved_[index].load(std::memory_order_acquire);
    std::uint64_t unused = left(index);
    bool is_whole = sequence % 2 == 0 && changes_.load(relaxed) == sequence;
    if (is_whole || i == tries) return carved - std::min(unused, carved);
    os::cpu_pause();
  }
}

// The stores are releases and the loads in allocated() acquires, so that whoever reads one of them sees the counter odd
// or changed.
void allocation_cache::change_run(std::size_t index, char* begin, char* end, std::int64_t more) noexcept {
  std::uint32_t sequence = changes_.load(relaxed);
  changes_.store(sequence + 1, relaxed);
  std::uint64_t carved = carved_[index].load(relaxed) + static_cast<std::uint64_t>(more);
  carved_[index].store(carved, std::memory_order_release);
  of[index].next.store(nullptr, std::memory_order_relaxed);  // is_allocated sees this before the other end
  of[index].end.store(end, std::memory_order_release);
  of[index].next.store(begin, std::memory_order_release);  // pairs with is_allocated, too
  changes_.store(sequence + 2, std::memory_order_release);
}

char* allocation_cache::take(std::size_t index, shortage& why) noexcept {
  open_run& run = of[index];
  char* begin = run.next.load(relaxed);
  if (begin == run.end.load(relaxed)) {
    if (!refill(index, why)) return nullptr;
    begin = run.next.load(relaxed);
  }
  run.next.store(begin + size_of_class(index / span_kind_count), relaxed);
  return begin;
}

char* allocation_cache::share(std::size_t size, std::size_t alignment, shortage& why) noexcept {
  if (char* there = take_tiny(*this, size, alignment); there != nullptr) return there;
  constexpr std::size_t index = run_index(0, span_kind::plain);
  char* slot = take(index, why);
  if (slot == nullptr) return nullptr;
  tiny.next.store(slot, relaxed);
  tiny.end.store(slot + size_of_class(0), relaxed);
  char* begin = take_tiny(*this, size, alignment);
  if (the_heap().single_slots.load(relaxed)) tiny.end.store(tiny.next.load(relaxed), relaxed);
  return begin;
}

// See sampling.h.
void allocation_cache::end_before_sample(std::size_t index, slot_range& range) noexcept {
  std::size_t rate = sample_rate.load(relaxed);
  std::uint64_t& word = point_next_[index / 64];
  std::uint64_t bit = std::uint64_t{1} << index % 64;
  std::size_t size = size_of_class(index / span_kind_count);
  std::size_t slots = range.end - range.first;
  bool is_next = (word & bit) != 0;
  word &= ~bit;
  std::size_t before = is_next ? 0 : points_.first_within(slots * size, rate) / size;
  if (before == slots) return;
  range.end = range.first + std::max<std::size_t>(before, 1);
  if (before == 0) {
    sample_ = sample_weight(size, rate);
  } else {
    word |= bit;
  }
}

double allocation_cache::sample_large(std::size_t bytes) noexcept {
  std::size_t rate = sample_rate.load(relaxed);
  if (rate == 0 || points_.first_within(bytes, rate) == bytes) return 0;
  return sample_weight(bytes, rate);
}

// Opens the next run: from free_index on, in the order of addresses.
bool allocation_cache::carve(std::size_t index, span& from) noexcept {
  std::size_t size = size_of_class(index / span_kind_count);
  bool one_by_one = the_heap().single_slots.load(relaxed);
  std::size_t most = one_by_one ? 1 : std::max<std::size_t>(longest_run / size, 1);
  slot_range range = next_free_slots(from, most);
  if (range.first == range.end) return false;
  if (sample_rate.load(relaxed) != 0) end_before_sample(index, range);
  if (gc_marking.load(relaxed)) mark_slots(from, range);
  char* begin = from.slot(range.first);
  std::size_t bytes = (range.end - range.first) * size;
  if (from.kind.load(relaxed) != span_kind::plain && from.needs_zero.load(relaxed)) fill_free(begin, 0, bytes);
  change_run(index, begin, begin + bytes, static_cast<std::int64_t>(range.end - range.first));
  from.free_index.store(static_cast<std::uint16_t>(range.end), std::memory_order_release);  // pairs with is_allocated
  unreported_ += bytes;
  return true;
}

bool allocation_cache::refill(std::size_t index, shortage& why) noexcept {
  heap_state& heap = the_heap();
  const bool always_fresh = heap.reuses_nothing.load(relaxed);
  span* mine = spans_[index];
  if (mine != nullptr) {
    if (heap.is_stale(*mine)) sweep_span(*mine);
    if (!always_fresh && carve(index, *mine)) return true;
    let_go(index, *mine);
  }
  for (;;) {
    span* found = always_fresh ? nullptr : find_span(index);
    if (found == nullptr) found = make_span(index, why);
    if (found == nullptr) return false;
    found->open.store(&of[index], std::memory_order_release);
    spans_[index] = found;
    cached_[index / 64] |= std::uint64_t{1} << index % 64;
    if (carve(index, *found)) return true;
    let_go(index, *found);
  }
}

// A span with free slots from the owner's lists, or one that can be swept.
span* allocation_cache::find_span(std::size_t index) noexcept {
  heap_state& heap = the_heap();
  span_lists& lists = owner_->lists(index);
  for (std::size_t i = 0; i < most_sweeps; ++i) {
    span* one = nullptr;
    {
      os::spin_guard guard(lists.lock);
      std::size_t swept = heap.parity();
      std::uint32_t* from = nullptr;
      if (lists.partial[swept] != 0) {
        from = &lists.partial[swept];
      } else if (lists.partial[swept ^ 1] != 0) {
        from = &lists.partial[swept ^ 1];
      } else if (lists.full[swept ^ 1] != 0) {
        from = &lists.full[swept ^ 1];
      } else {
        return nullptr;
      }
      one = &the_layout.spans[*from - 1];
      lists.remove(*from, *one);
      one->place.store(span_place::cached, relaxed);
    }
    if (!heap.is_stale(*one)) return one;
    std::size_t live = sweep_span(*one);
    if (live < one->slot_count()) return one;
    let_go(index, *one);
  }
  return nullptr;
}

span* allocation_cache::make_span(std::size_t index, shortage& why) noexcept {
  heap_state& heap = the_heap();
  std::size_t size_class = index / span_kind_count;
  std::uint32_t count = class_shapes[size_class].pages;
  if (!owner_->charge(std::size_t{count} << heap_page_shift)) {
    why = shortage::limit;
    return nullptr;
  }
  page_run run =
      place_ == shared_place ? heap.pages.allocate(count) : heap.pages.allocate(count, heap.places[place_].cache);
  if (run.count == 0) {
    owner_->discharge(std::size_t{count} << heap_page_shift);
    why = shortage::memory;
    return nullptr;
  }
  span& made = heap.make_span(*owner_, run, size_class, static_cast<span_kind>(index % span_kind_count));
  made.place.store(span_place::cached, relaxed);
  return &made;
}

// Gives a span that may have an open run back.
void allocation_cache::let_go(std::size_t index, span& one) noexcept {
  heap_state& heap = the_heap();
  span_lists& lists = owner_->lists(index);
  if (spans_[index] == &one) {
    spans_[index] = nullptr;
    cached_[index / 64] &= ~(std::uint64_t{1} << index % 64);
    std::size_t unused = left(index);
    if (unused != 0) {
      point_next_[index / 64] &= ~(std::uint64_t{1} << index % 64);
      // They are free again: from free_index on, where marks count for nothing.
      std::size_t end = one.free_index.load(relaxed);
      one.free_index.store(static_cast<std::uint16_t>(end - unused), std::memory_order_release);
      one.needs_zero.store(true, relaxed);
      std::size_t bytes = unused * size_of_class(index / span_kind_count);
      unreported_ -= std::min(unreported_, bytes);
    }
    change_run(index, nullptr, nullptr, -static_cast<std::int64_t>(unused));
    one.open.store(nullptr, std::memory_order_release);
  }
  {
    os::spin_guard guard(lists.lock);
    ++lists.swept_now;
  }
  std::size_t live = 1;  // a span that is not swept now has something in use, or is soon asked again
  if (heap.is_stale(one)) {
    live = sweep_span(one);
  } else if (one.free_index.load(relaxed) == 0) {
    live = one.live_at_sweep.load(relaxed);
  }
  put_swept(one, live);
}

void allocation_cache::empty() noexcept {
  tiny.next.store(nullptr, relaxed);
  tiny.end.store(nullptr, relaxed);
  for (std::size_t word = 0; word < std::size(cached_); ++word) {
    while (cached_[word] != 0) {
      std::size_t index = word * 64 + static_cast<std::size_t>(std::countr_zero(cached_[word]));
      let_go(index, *spans_[index]);
    }
  }
}

void allocation_cache::reset() noexcept {
  next_of_owner = nullptr;
  tiny_objects.store(0, relaxed);
  for (std::atomic<std::uint64_t>& one : carved_) one.store(0, relaxed);
  unreported_ = 0;
  forget_points();
  owner_ = nullptr;
}

}  // namespace rt::detail
