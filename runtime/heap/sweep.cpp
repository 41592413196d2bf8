#include "runtime/heap/sweep.h"

#include <algorithm>
#include <bit>

#include "runtime/heap/dead_objects.h"
#include "runtime/heap/heap_state.h"
#include "runtime/heap/poison.h"
#include "runtime/os/clock.h"
#include "runtime/os/critical_section.h"

namespace rt::detail {

namespace {

constexpr std::memory_order relaxed = std::memory_order_relaxed;

// Of the dead slots of a `destroyed` span those that cannot be freed yet: they wait for their destructor.
std::uint64_t keep_for_destructor(span& one, std::size_t word, std::uint64_t dead) noexcept {
  std::uint64_t kept = 0;
  for (std::uint64_t left = dead; left != 0; left &= left - 1) {
    std::size_t index = word * 64 + static_cast<std::size_t>(std::countr_zero(left));
    if (queue_dead_object(one, index)) kept |= left & -left;
  }
  return kept;
}

// What a dead slot is filled with, so that a use of it shows: no address of the heap.
constexpr int dead_byte = 0xdb;

void tell_freed(const span& one, std::size_t word, std::uint64_t slots,
                void (*freed)(const void*, std::size_t) noexcept) noexcept {
  for (; slots != 0; slots &= slots - 1) {
    freed(one.slot(word * 64 + static_cast<std::size_t>(std::countr_zero(slots))), one.element_size());
  }
}

void close_slots(const span& one, std::size_t word, std::uint64_t slots, bool fill) noexcept {
  if (!poisons_memory && !fill) return;
  std::size_t size = one.element_size();
  for (; slots != 0; slots &= slots - 1) {
    char* slot = one.slot(word * 64 + static_cast<std::size_t>(std::countr_zero(slots)));
    if (fill) fill_free(slot, dead_byte, size);
    poison(slot, size);
  }
}

}  // namespace

std::size_t sweep_span(span& one) noexcept {
  heap_state& heap = the_heap();
  const collector_hooks* hooks = heap.hooks.load(std::memory_order_acquire);
  if (one.attachments.load(std::memory_order_acquire) != nullptr) {
    if (hooks != nullptr && hooks->sweep_attachments != nullptr) hooks->sweep_attachments(one);
  }
  std::size_t handed_out = one.free_index.load(relaxed);
  std::size_t words = (one.slot_count() + 63) / 64;
  std::size_t live = 0;
  std::size_t freed = 0;
  // A chunk of an arena that has ended may fault.
  bool fill = heap.fill_dead.load(relaxed) && one.end.load(relaxed) == span_end::none;
  bool is_destroyed = one.kind.load(relaxed) == span_kind::destroyed;
  for (std::size_t i = 0; i < words; ++i) {
    std::uint64_t used = one.in_use[i].load(relaxed) | slots_below(handed_out, i);
    std::uint64_t alive = used & one.marks[i].load(relaxed);
    std::uint64_t dead = used & ~alive;
    if (is_destroyed && dead != 0) {
      std::uint64_t kept = keep_for_destructor(one, i, dead);
      alive |= kept;
      dead &= ~kept;
    }
    if (dead != 0) close_slots(one, i, dead, fill);
    if (dead != 0 && hooks != nullptr && hooks->freed != nullptr) [[unlikely]]
      tell_freed(one, i, dead, hooks->freed);
    one.in_use[i].store(alive, relaxed);
    one.marks[i].store(0, relaxed);
    one.collector_bits[i].store(0, relaxed);
    live += static_cast<std::size_t>(std::popcount(alive));
    freed += static_cast<std::size_t>(std::popcount(dead));
  }
  if (span_end end = one.end.load(relaxed); end != span_end::none) [[unlikely]] {
    // It was counted as free when it was given up.
    freed = 0;
    if (live != 0 && end == span_end::given_up) heap.forbid(one);
  }
  one.free_index.store(0, std::memory_order_release);  // pairs with is_allocated: in_use is right now
  one.live_at_sweep.store(static_cast<std::uint16_t>(live), relaxed);
  if (freed != 0) {
    one.needs_zero.store(true, relaxed);
    heap_owner& owner = *one.owner.load(relaxed);
    owner.lists(lists_of(one)).freed.fetch_add(freed, relaxed);
    if (one.is_large()) owner.count_large_freed(one.bytes());
  }
  one.generation.store(heap.generation.load(relaxed), std::memory_order_release);
  return live;
}

slot_range next_free_slots(const span& in, std::size_t most) noexcept {
  std::size_t count = in.slot_count();
  std::size_t first = in.free_index.load(relaxed);
  while (first < count) {
    std::uint64_t free_bits = ~in.in_use[first / 64].load(relaxed) >> first % 64;
    if (free_bits == 0) {
      first = (first / 64 + 1) * 64;
      continue;
    }
    first += static_cast<std::size_t>(std::countr_zero(free_bits));
    break;
  }
  if (first >= count) return {count, count};
  std::size_t limit = std::min(count, first + most);
  std::size_t end = first;
  while (end < limit) {
    std::uint64_t used = in.in_use[end / 64].load(relaxed) >> end % 64;
    if (used != 0) {
      end += static_cast<std::size_t>(std::countr_zero(used));
      break;
    }
    end = (end / 64 + 1) * 64;
  }
  return {first, std::min(end, limit)};
}

void put_swept(span& one, std::size_t live) noexcept {
  heap_state& heap = the_heap();
  heap_owner& owner = *one.owner.load(relaxed);
  span_lists& lists = owner.lists(lists_of(one));
  if (live == 0) {
    heap.free_span(one);
    os::spin_guard guard(lists.lock);
    --lists.swept_now;
    return;
  }
  bool has_free = next_free_slots(one, 1).first < one.slot_count();
  os::spin_guard guard(lists.lock);
  --lists.swept_now;
  std::size_t parity = heap.parity();
  lists.push(has_free ? lists.partial[parity] : lists.full[parity], one);
}

bool take_unswept(span& one) noexcept {
  heap_state& heap = the_heap();
  for (;;) {
    heap_owner* owner = one.owner.load(std::memory_order_acquire);
    if (owner == nullptr) return false;
    std::size_t index = lists_of(one);
    span_lists& lists = owner->lists(index);
    os::spin_guard guard(lists.lock);
    // Its task has ended and it is in other lists now (heap_owner::move_spans), or it has gone.
    if (one.owner.load(relaxed) != owner) continue;
    // It may have gone meanwhile, and its pages may be another span.
    if (one.place.load(relaxed) != span_place::listed || lists_of(one) != index || !heap.is_stale(one)) return false;
    std::size_t parity = heap.parity() ^ 1;
    bool is_partial = next_free_slots(one, 1).first < one.slot_count();
    lists.remove(is_partial ? lists.partial[parity] : lists.full[parity], one);
    ++lists.swept_now;
    return true;
  }
}

bool sweep_some(std::size_t count) noexcept {
  heap_state& heap = the_heap();
  constexpr std::uint32_t pages_at_once = 64;
  std::size_t swept = 0;
  while (swept < count) {
    os::enter_critical();  // a frozen sweeper would keep the others waiting
    heap.sweepers.fetch_add(1, std::memory_order_seq_cst);
    std::uint32_t end = heap_pages_touched();
    std::uint32_t page = heap.sweep_page.load(relaxed);
    while (page < end && !heap.sweep_page.compare_exchange_weak(page, page + pages_at_once, relaxed)) {
    }
    std::uint32_t until = page < end ? std::min(page + pages_at_once, end) : page;
    bool any = page < end;
    while (page < until) {
      page_entry entry = the_layout.entry(page);
      span& one = the_layout.spans[entry.is_used() ? entry.first_page() : page];
      if (!entry.is_used()) {
        ++page;
        continue;
      }
      // Of a span that began before this piece the rest is skipped.
      std::uint32_t beyond = entry.first_page() + std::max(one.page_count.load(relaxed), 1U);
      if (entry.first_page() == page && heap.is_stale(one) && take_unswept(one)) {
        put_swept(one, sweep_span(one));
        ++swept;
      }
      page = std::max(beyond, page + 1);
    }
    heap.sweepers.fetch_sub(1, std::memory_order_seq_cst);
    os::leave_critical();
    if (!any) {
      // What others are at is done within microseconds.
      while (heap.sweepers.load(std::memory_order_seq_cst) != 0) os::cpu_pause();
      heap.swept_generation.store(heap.generation.load(relaxed), relaxed);
      return false;
    }
  }
  return true;
}

}  // namespace rt::detail
