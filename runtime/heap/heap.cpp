#include "runtime/heap/heap.h"

#include <cerrno>
#include <new>

#include "runtime/heap/heap_check.h"
#include "runtime/heap/heap_state.h"
#include "runtime/heap/poison.h"
#include "runtime/os/clock.h"
#include "runtime/os/fatal.h"
#include "runtime/os/memory.h"

namespace rt::detail {

namespace {

constexpr std::memory_order relaxed = std::memory_order_relaxed;

// Made in place and never destroyed: objects outlive static ones.
alignas(heap_state) char heap_memory[sizeof(heap_state)];
std::atomic<heap_state*> made_heap{nullptr};
os::spin_lock making{os::lock_rank::none};

heap_state& make_heap() noexcept {
  os::spin_guard guard(making);
  if (heap_state* there = made_heap.load(relaxed); there != nullptr) return *there;
  reserve_the_heap();
  auto* heap = ::new (static_cast<void*>(heap_memory)) heap_state;
  heap->no_task = heap->owner_pool.take();
  if (!heap->pages.create(the_layout) || heap->no_task == nullptr) {
    os::fatal("the system has no memory for the tables of the heap");
  }
  {
    os::spin_guard owners_guard(heap->owners_lock);
    heap->add_owner(*heap->no_task);
  }
  made_heap.store(heap, std::memory_order_release);  // pairs with the_heap
  return *heap;
}

// Whether the barrier has nothing to do for it. Most stores are settled so: the same objects are stored again and
// again, and new ones are born marked. The look may be older than the end of marking, or even of another cycle, when
// the store comes; so may the test of gc_marking before it, and for the same reason nothing is lost: (d) in
// gc/collector.cpp.
bool is_settled(const void* value) noexcept {
  return value == nullptr || points_to_marked(reinterpret_cast<std::uintptr_t>(value));
}

}  // namespace

allocation_runs no_runs;
std::atomic<bool> gc_marking{false};
std::atomic<bool> gc_watching{false};

proc_head::proc_head() noexcept : runs(&no_runs) {}

heap_state& the_heap() noexcept {
  heap_state* heap = made_heap.load(std::memory_order_acquire);
  return heap != nullptr ? *heap : make_heap();
}

void gc_barrier(const void* old_value, const void* new_value) noexcept {
  const collector_hooks* hooks = the_heap().hooks.load(std::memory_order_acquire);
  if (hooks != nullptr && hooks->barrier != nullptr) hooks->barrier(old_value, new_value);
}

void gc_store(const void* slot, const void* old_value, const void* new_value) noexcept {
  heap_state& heap = the_heap();
  if (heap.checks_slots.load(relaxed)) {
    const collector_hooks* hooks = heap.hooks.load(std::memory_order_acquire);
    if (hooks != nullptr && hooks->check_slot != nullptr) hooks->check_slot(slot, new_value);
  }
  if (gc_marking.load(relaxed) && !(is_settled(old_value) && is_settled(new_value))) gc_barrier(old_value, new_value);
}

void set_collector_hooks(const collector_hooks& hooks) noexcept {
  the_heap().hooks.store(&hooks, std::memory_order_release);  // pairs with every use
}

void set_single_slot_runs(bool on) noexcept { the_heap().single_slots.store(on, relaxed); }

void set_slot_checks(bool on) noexcept {
  the_heap().checks_slots.store(on, relaxed);
  gc_watching.store(on || gc_marking.load(relaxed), std::memory_order_seq_cst);
}

void set_fill_of_dead(bool on) noexcept { the_heap().fill_dead.store(on, relaxed); }

void set_user_lookup(task_heap* (*current)() noexcept) noexcept {
  the_heap().user_lookup.store(current, std::memory_order_release);  // pairs with current_owner
}

void set_no_reuse(bool on) noexcept { the_heap().reuses_nothing.store(on, relaxed); }

void set_heap_checks(bool on) noexcept { the_heap().checks_itself.store(on, relaxed); }

void set_scavenge_goal(std::size_t bytes) noexcept { the_heap().gives_back.set_goal(bytes); }

std::size_t release_free_pages() noexcept { return the_heap().gives_back.release_all(); }

std::size_t release_surplus_pages() noexcept { return the_heap().gives_back.release_surplus(os::nanotime()); }

std::int64_t scavenge(std::int64_t now) noexcept { return the_heap().gives_back.step(now); }

const char* describe_heap_address(std::uintptr_t address) noexcept {
  if (!the_layout.contains(address)) return nullptr;
  const span* in = span_of(address);
  if (in == nullptr) {
    bool is_closed = the_heap().reuses_nothing.load(relaxed);
    return is_closed ? "a freed object of the collected heap" : "free pages of the collected heap";
  }
  if (in->end.load(relaxed) != span_end::none) return "a freed arena";
  object_place found{};
  return find_object(address, found) ? "an object of the collected heap" : "a free slot of the collected heap";
}

heap_owner& orphans() noexcept { return *the_heap().no_task; }

heap_owner& heap_state::current_owner() {
  auto* lookup = user_lookup.load(std::memory_order_acquire);
  task_heap* user = lookup == nullptr ? nullptr : lookup();
  return user == nullptr ? *no_task : user->need();
}

void heap_state::add_owner(heap_owner& one) noexcept {
  one.previous = nullptr;
  one.next = owners;
  if (owners != nullptr) owners->previous = &one;
  owners = &one;
}

// ---------------------------------------------------------------------------------------------------------------------
// Spans

namespace {

// Writes the entries of its pages.
void publish(const span& one) noexcept {
  std::uint32_t first = one.first_page();
  page_entry entry(first, one.size_class.load(relaxed), one.kind.load(relaxed));
  for (std::uint32_t i = 0; i < one.page_count.load(relaxed); ++i) {
    the_layout.entries[first + i].store(entry.bits(), std::memory_order_release);  // pairs with heap_layout::entry
  }
}

}  // namespace

span& heap_state::make_span(heap_owner& owner, const page_run& run, std::size_t size_class, span_kind kind) noexcept {
  span& one = the_layout.spans[run.first];
  // Nobody looks at it before its entries are there, but for those who looked at a span that was here before.
  one.attachments.store(nullptr, relaxed);
  one.page_count.store(run.count, relaxed);
  one.next.store(0, relaxed);
  one.previous.store(0, relaxed);
  one.live_at_sweep.store(0, relaxed);
  one.size_class.store(static_cast<std::uint8_t>(size_class), relaxed);
  one.kind.store(kind, relaxed);
  one.needs_zero.store(!run.zero, relaxed);
  one.end.store(span_end::none, relaxed);
  one.collector_state.store(0, relaxed);
  one.open.store(nullptr, relaxed);
  for (std::size_t i = 0; i < most_slots / 64; ++i) {
    one.marks[i].store(0, relaxed);
    one.collector_bits[i].store(0, relaxed);
    one.in_use[i].store(0, relaxed);
  }
  one.free_index.store(0, relaxed);
  one.generation.store(generation.load(relaxed), relaxed);
  poison(one.begin(), one.bytes());
  one.owner.store(&owner, std::memory_order_release);
  publish(one);
  span_pages.fetch_add(run.count, relaxed);
  span_count.fetch_add(1, relaxed);
  return one;
}

void heap_state::free_span(span& one) noexcept {
  if (one.attachments.load(std::memory_order_acquire) != nullptr) [[unlikely]] {
    const collector_hooks* all = hooks.load(std::memory_order_acquire);
    if (all != nullptr && all->drop_attachments != nullptr) all->drop_attachments(one);
  }
  std::uint32_t first = one.first_page();
  std::uint32_t count = one.page_count.load(relaxed);
  for (std::uint32_t i = 0; i < count; ++i) the_layout.entries[first + i].store(0, relaxed);
  poison(one.begin(), one.bytes());
  one.place.store(span_place::none, relaxed);
  heap_owner* owner = one.owner.exchange(nullptr, relaxed);
  span_end end = one.end.exchange(span_end::none, relaxed);
  if (end == span_end::none) {
    owner->discharge(std::size_t{count} << heap_page_shift);
    span_pages.fetch_sub(count, relaxed);
  } else if (end == span_end::forbidden && !reuses_nothing.load(relaxed) &&
             !os::permit_writing(one.begin(), std::size_t{count} << heap_page_shift)) {
    os::fatal("the system does not open the pages of a freed arena again (errno %d)", errno);
  }
  span_count.fetch_sub(1, relaxed);
  if (reuses_nothing.load(relaxed)) [[unlikely]] {
    // Where the system has no more mappings for that, they read as zero.
    os::discard_pages(one.begin(), std::size_t{count} << heap_page_shift);
    static_cast<void>(os::forbid_access(one.begin(), std::size_t{count} << heap_page_shift));
    closed_pages.fetch_add(count, relaxed);
    return;
  }
  pages.free(first, count);  // its lock orders the stores above before the next use of the pages
}

void heap_state::give_up(span& one) noexcept {
  std::size_t bytes = one.bytes();
  heap_owner& owner = *one.owner.load(relaxed);
  // A marker that has not begun with it does not begin.
  one.kind.store(span_kind::plain, relaxed);
  publish(one);
  one.end.store(span_end::given_up, relaxed);
  os::discard_pages(one.begin(), bytes);
  poison(one.begin(), bytes);
  owner.discharge(bytes);
  owner.lists(large_lists).freed.fetch_add(1, relaxed);
  owner.count_large_freed(bytes);
  span_pages.fetch_sub(one.page_count.load(relaxed), relaxed);
  if (!gc_marking.load(relaxed)) forbid(one);
}

void heap_state::forbid(span& one) noexcept {
  // Refused when the process has as many mappings as it may (vm.max_map_count): then its pages read as zero.
  if (os::forbid_access(one.begin(), one.bytes())) one.end.store(span_end::forbidden, relaxed);
}

// ---------------------------------------------------------------------------------------------------------------------
// Marking

void begin_mark() noexcept {
  heap_state& heap = the_heap();
  os::spin_guard owners_guard(heap.owners_lock);
  os::spin_guard outside_guard(heap.outside_lock);
  for (heap_owner* owner = heap.owners; owner != nullptr; owner = owner->next) {
    for (allocation_cache* one = owner->first_cache(); one != nullptr; one = one->next_of_owner) one->empty();
  }
  if (heap.checks_itself.load(relaxed)) {
    char text[320];
    if (find_heap_fault(heap, text, sizeof text)) os::fatal("gccheckheap: %s", text);
  }
  gc_marking.store(true, std::memory_order_seq_cst);
  gc_watching.store(true, std::memory_order_seq_cst);
}

heap_figures note_before_end_of_mark() noexcept {
  heap_state& heap = the_heap();
  os::spin_guard guard(heap.owners_lock);
  return heap.sum_up(true);
}

void end_mark() noexcept {
  heap_state& heap = the_heap();
  os::spin_guard outside_guard(heap.outside_lock);
  gc_marking.store(false, std::memory_order_seq_cst);
  gc_watching.store(heap.checks_slots.load(relaxed), std::memory_order_seq_cst);
  heap.generation.fetch_add(2, relaxed);
  heap.sweep_page.store(0, relaxed);
}

void note_end_of_mark() noexcept {
  heap_state& heap = the_heap();
  os::spin_guard guard(heap.owners_lock);
  for (heap_owner* owner = heap.owners; owner != nullptr; owner = owner->next) {
    if (!owner->has_ended) owner->note_end_of_mark();
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// Owners and Ps

void forget_caches(const heap_owner& dead) noexcept {
  heap_state& heap = the_heap();
  for (std::size_t i = 0; i < heap_places; ++i) {
    proc_head* p = heap.heads[i].load(std::memory_order_acquire);
    allocation_runs* mine = dead.runs_at(i);
    // The P's owner may choose another task's at the same moment; then there is nothing to do.
    if (p != nullptr && mine != nullptr) p->runs.compare_exchange_strong(mine, &no_runs, relaxed);
  }
}

void add_place(proc_head& p, std::size_t place) noexcept {
  p.heap_place = static_cast<std::uint32_t>(place);
  the_heap().heads[place].store(&p, std::memory_order_release);  // pairs with forget_caches
}

void empty_place(const proc_head& p) noexcept {
  heap_state& heap = the_heap();
  os::spin_guard guard(heap.owners_lock);
  for (heap_owner* owner = heap.owners; owner != nullptr; owner = owner->next) {
    if (allocation_cache* one = owner->cache(p.heap_place); one != nullptr) one->empty();
  }
  heap.pages.empty(heap.places[p.heap_place].cache);
}

void remove_place(const proc_head& p) noexcept {
  empty_place(p);
  the_heap().heads[p.heap_place].store(nullptr, relaxed);
}

}  // namespace rt::detail
