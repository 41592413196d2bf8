#include "runtime/heap/heap_owner.h"

#include <algorithm>
#include <new>
#include <utility>

#include "runtime/heap/heap_state.h"
#include "runtime/heap/sweep.h"
#include "runtime/os/clock.h"

namespace rt::detail {

static_assert(sizeof(heap_owner) <= 16384 && sizeof(allocation_cache) <= 8192, "what a task costs, and each of its Ps");

namespace {

constexpr std::memory_order relaxed = std::memory_order_relaxed;

// How many spans of an ended task are handed down under one lock of the owners: some ten microseconds, for which a stop
// of the world may have to wait.
constexpr std::size_t spans_at_once = 256;

span& span_at(std::uint32_t page_plus_one) noexcept { return the_layout.spans[page_plus_one - 1]; }

}  // namespace

void span_lists::push(std::uint32_t& list, span& one) noexcept {
  std::uint32_t number = one.first_page() + 1;
  one.next.store(list, relaxed);
  one.previous.store(0, relaxed);
  if (list != 0) span_at(list).previous.store(number, relaxed);
  list = number;
  one.place.store(span_place::listed, relaxed);
}

void span_lists::remove(std::uint32_t& list, span& one) noexcept {
  std::uint32_t after = one.next.load(relaxed);
  std::uint32_t before = one.previous.load(relaxed);
  if (before != 0) {
    span_at(before).next.store(after, relaxed);
  } else {
    list = after;
  }
  if (after != 0) span_at(after).previous.store(before, relaxed);
  one.place.store(span_place::none, relaxed);
}

allocation_cache* heap_owner::need_cache(std::size_t place) noexcept {
  if (allocation_cache* there = cache(place); there != nullptr) return there;
  heap_state& heap = the_heap();
  allocation_cache* fresh = heap.cache_pool.take();
  if (fresh == nullptr) return nullptr;
  fresh->attach(*this, place);
  allocation_cache* before = nullptr;
  // Only the shared one may be made by two threads at once. Release: pairs with cache().
  if (!caches_[place].compare_exchange_strong(before, fresh, std::memory_order_acq_rel)) {
    heap.cache_pool.give_back(*fresh);
    return before;
  }
  fresh->next_of_owner = first_cache_.load(relaxed);
  while (!first_cache_.compare_exchange_weak(fresh->next_of_owner, fresh, std::memory_order_release, relaxed)) {
  }
  return fresh;
}

allocation_runs* heap_owner::runs_at(std::size_t place) const noexcept { return cache(place); }

bool heap_owner::charge(std::size_t bytes) noexcept {
  std::size_t limit = hard_limit();
  std::size_t before = span_bytes_.fetch_add(bytes, relaxed);
  if (before + bytes <= limit) return true;
  span_bytes_.fetch_sub(bytes, relaxed);
  return false;
}

void heap_owner::empty_caches() noexcept {
  os::spin_guard guard(the_heap().outside_lock);
  for (allocation_cache* one = first_cache(); one != nullptr; one = one->next_of_owner) one->empty();
}

// The end of a task, in three steps, each under the lock of the owners, which the beginning of marking takes too, with
// the world stopped: no step may last. First the figures go to the heir, then the spans, a batch at a time, last what
// sweepers have counted meanwhile. Between the steps this owner is in the list of owners, with `has_ended` set, and
// nobody counts its figures. The end of marking may come in the middle of a step of a thread without a P: a span keeps
// its place among the swept or the unswept, which that end exchanges for all owners at once.
//
// The race by name: *a sweeper against the end of a task*. A sweeper reads a span's owner, locks that owner's lists and
// then looks whether the span is there (take_unswept). So a span changes its owner and its lists under the locks of
// both: the sweeper finds it there, or finds that the owner has changed. Were it in no list for a moment, the sweeper
// would pass by, and the span would come into the next marking unswept. Spans that sweepers have taken out come back
// into the lists that they were taken from, and move_spans comes again until none is out.
void heap_owner::hand_down_figures(heap_owner& heir) noexcept {
  empty_caches();
  for (std::size_t i = 0; i <= large_lists; ++i) {
    heir.lists_[i].allocated.fetch_add(allocated_objects(i), relaxed);
    lists_[i].allocated.store(0, relaxed);
    heir.lists_[i].freed.fetch_add(lists_[i].freed.exchange(0, relaxed), relaxed);
  }
  heir.large_allocated_.fetch_add(large_allocated_.exchange(0, relaxed), relaxed);
  heir.large_freed_.fetch_add(large_freed_.exchange(0, relaxed), relaxed);
  heir.allocated_at_marking_.fetch_add(allocated_at_marking_.exchange(0, relaxed), relaxed);
  heir.marked_before_.fetch_add(marked_before_.exchange(0, relaxed), relaxed);
  for (allocation_cache* one = first_cache(); one != nullptr; one = one->next_of_owner) {
    the_heap().tiny_of_ended.fetch_add(one->tiny_objects.exchange(0, relaxed), relaxed);
  }
  has_ended = true;
}

std::size_t heap_owner::move_list(span_lists& from, std::uint32_t& list, heap_owner& heir, span_lists& to,
                                  std::uint32_t& heirs, std::size_t most) noexcept {
  std::size_t moved = 0;
  std::size_t bytes = 0;
  for (; list != 0 && moved < most; ++moved) {
    span& one = span_at(list);
    from.remove(list, one);
    if (one.end.load(relaxed) == span_end::none) bytes += one.bytes();
    one.owner.store(&heir, std::memory_order_release);  // pairs with take_unswept
    to.push(heirs, one);
  }
  heir.span_bytes_.fetch_add(bytes, relaxed);
  discharge(bytes);
  return moved;
}

bool heap_owner::move_spans(heap_owner& heir, std::size_t most) noexcept {
  std::size_t left = most;
  for (std::size_t i = 0; i <= large_lists; ++i) {
    span_lists& from = lists_[i];
    span_lists& to = heir.lists_[i];
    os::spin_guard from_guard(from.lock);
    if (from.is_empty()) continue;
    os::spin_guard to_guard(to.lock);
    for (std::size_t parity = 0; parity < 2; ++parity) {
      left -= move_list(from, from.partial[parity], heir, to, to.partial[parity], left);
      left -= move_list(from, from.full[parity], heir, to, to.full[parity], left);
    }
    if (!from.is_empty()) return false;
  }
  return true;
}

void heap_owner::hand_down_rest(heap_owner& heir) noexcept {
  for (std::size_t i = 0; i <= large_lists; ++i) {
    heir.lists_[i].freed.fetch_add(lists_[i].freed.exchange(0, relaxed), relaxed);
  }
  heir.large_freed_.fetch_add(large_freed_.exchange(0, relaxed), relaxed);
  hand_down_dead_objects(*this, heir);
}

void heap_owner::reset() noexcept {
  heap_state& heap = the_heap();
  for (allocation_cache* one = first_cache_.exchange(nullptr, relaxed); one != nullptr;) {
    allocation_cache* after = one->next_of_owner;
    heap.cache_pool.give_back(*one);
    one = after;
  }
  for (std::atomic<allocation_cache*>& one : caches_) one.store(nullptr, relaxed);
  span_bytes_.store(0, relaxed);
  set_limits(SIZE_MAX, SIZE_MAX);
  bytes_above_limit.store(0, relaxed);
  above_limit_since.store(0, relaxed);
  allocated_at_marking_.store(0, relaxed);
  marked_before_.store(0, relaxed);
  limit_waits_.store(0, relaxed);
  limit_failures_.store(0, relaxed);
  has_ended = false;
  holder = nullptr;
}

std::uint64_t heap_owner::allocated_objects(std::size_t index) const noexcept {
  std::uint64_t allocated = lists_[index].allocated.load(relaxed);
  if (index == large_lists) return allocated;
  for (const allocation_cache* one = first_cache(); one != nullptr; one = one->next_of_owner) {
    allocated += one->allocated(index);
  }
  return allocated;
}

owner_figures heap_owner::figures() const noexcept {
  owner_figures sum;
  // Freed before allocated: the difference is never negative.
  sum.freed_bytes = large_freed_.load(std::memory_order_acquire);
  for (std::size_t i = 0; i <= large_lists; ++i) {
    std::uint64_t freed = lists_[i].freed.load(std::memory_order_acquire);
    sum.freed_objects += freed;
    if (i != large_lists) sum.freed_bytes += freed * size_of_class(i / span_kind_count);
  }
  sum.allocated_bytes = large_allocated_.load(relaxed);
  for (std::size_t i = 0; i <= large_lists; ++i) {
    std::uint64_t allocated = allocated_objects(i);
    if (i != large_lists) sum.allocated_bytes += allocated * size_of_class(i / span_kind_count);
    sum.allocated_objects += allocated;
  }
  sum.allocated_bytes = std::max(sum.allocated_bytes, sum.freed_bytes);
  sum.allocated_objects = std::max(sum.allocated_objects, sum.freed_objects);
  sum.span_bytes = span_bytes();
  sum.marked_bytes = marked_before_.load(relaxed);
  if (the_heap().is_swept()) {
    std::uint64_t allocated = allocated_at_marking_.load(relaxed);
    sum.marked_bytes = allocated - std::min(allocated, sum.freed_bytes);
  }
  sum.limit_waits = limit_waits_.load(relaxed);
  sum.limit_failures = limit_failures_.load(relaxed);
  sum.table_bytes = sizeof(heap_owner);
  for (const allocation_cache* one = first_cache(); one != nullptr; one = one->next_of_owner) {
    sum.table_bytes += sizeof(allocation_cache);
  }
  return sum;
}

// Everything that is freed from the end of one marking to the begin of the next was dead in the first: the sweep finds
// it out bit by bit, spans that caches have as late as that. So while the next one goes on all of it is known. Until
// the sweep that follows is complete marked_before_ is what is shown, so it may be written ahead.
void heap_owner::note_before_end_of_mark(const owner_figures& now) noexcept {
  std::uint64_t allocated = allocated_at_marking_.load(relaxed);
  marked_before_.store(allocated - std::min(allocated, now.freed_bytes), relaxed);
}

// What was allocated in the microseconds since the stop counts as found: it is alive.
void heap_owner::note_end_of_mark() noexcept { allocated_at_marking_.store(figures().allocated_bytes, relaxed); }

heap_owner& task_heap::need() {
  if (heap_owner* there = get(); there != nullptr) return *there;
  heap_state& heap = the_heap();
  os::spin_guard guard(heap.owners_lock);
  if (heap_owner* there = owner_.load(relaxed); there != nullptr) return *there;
  heap_owner* fresh = heap.owner_pool.take();
  if (fresh == nullptr) throw std::bad_alloc();
  fresh->holder = holder_;
  // In the list before anybody allocates for it: begin_mark finds the caches by the list.
  heap.add_owner(*fresh);
  owner_.store(fresh, std::memory_order_release);  // pairs with get()
  return *fresh;
}

void task_heap::set_limits(std::size_t soft, std::size_t hard) { need().set_limits(soft, hard); }

owner_figures task_heap::figures() const noexcept {
  const heap_owner* mine = get();
  return mine == nullptr ? owner_figures{} : mine->figures();
}

task_heap::~task_heap() {
  heap_owner* mine = get();
  if (mine == nullptr) return;
  heap_state& heap = the_heap();
  forget_caches(*mine);
  std::size_t left = mine->span_bytes();
  {
    os::spin_guard guard(heap.owners_lock);
    mine->hand_down_figures(*heap.no_task);
  }
  for (bool moved = false; !moved;) {
    {
      os::spin_guard guard(heap.owners_lock);
      moved = mine->move_spans(*heap.no_task, spans_at_once);
    }
    if (!moved) os::cpu_pause();
  }
  {
    os::spin_guard guard(heap.owners_lock);
    mine->hand_down_rest(*heap.no_task);
    (mine->previous == nullptr ? heap.owners : mine->previous->next) = mine->next;
    if (mine->next != nullptr) mine->next->previous = mine->previous;
  }
  heap.owner_pool.give_back(*mine);
  const collector_hooks* hooks = heap.hooks.load(std::memory_order_acquire);
  if (left != 0 && hooks != nullptr && hooks->task_ended != nullptr) hooks->task_ended(left);
}

}  // namespace rt::detail
