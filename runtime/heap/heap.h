// The heap: memory for the objects of the collector above it.
//
// An allocation. rt::make<T> knows size, alignment and kind when it is compiled, and so the place of its run in a
// table. It counts a critical section in the M, finds the M's P and there the runs of the task that runs, and moves a
// cursor (rt/make.h). At the end of the run the cache of that P and task looks for the next one (allocation_cache.h):
// in the same span, in another span of the task that has free slots, or in fresh pages (page_heap.h). Objects of more
// than 32 KiB have pages of their own (large_object.cpp). What the collector leaves unmarked becomes free when its span
// is swept (sweep.h), and pages that stay free go back to the system (scavenger.h).
//
// What the collector (floor 3) may rely on:
//
//   looking   find_object and span_of (span.h) take any word, from any thread, at any time.
//   marking   begin_mark, with the world stopped: all caches are emptied, gc_marking is set, and from then on every
//             slot is marked before it is handed out, a run at a time. The collector marks others by span::try_mark.
//             Precondition: sweeping is complete (sweep_some has returned false since the last end_mark).
//   sweeping  end_mark, with the world stopped: gc_marking is cleared and all spans become unswept, by one addition.
//             The slots without mark are free from then on. Each span is swept before slots of it are handed out again,
//             by whoever needs it, and the others by sweep_some, from any thread that does not stop the world.
//   kinds     `plain` spans are not looked into. Of `destroyed` ones the dead objects are queued (dead_objects.h) and
//             their slots stay in use until the destructor was called and the next sweep has been.
//   hooks     are called on the allocating thread, outside of critical sections and locks, where it may park and go on
//             with another P.
//   stops     No P is inside the heap while the world is stopped: caches are used in critical sections. Threads that
//             have no P (in rt::blocking, or none of the runtime's) use a cache of their owner that has a lock, which
//             begin_mark and end_mark take as well.
//   figures   read_heap_figures and task_heap::figures stop nothing.
//
// Invariants
//   1 A page is free in page_heap, free in the page_cache of one P, in a span, being given back to the system, or
//   closed
//     for good (set_no_reuse).
//   2 A span is in one cache, in one list of its owner, or in the hands of one thread in a critical section.
//   3 A slot is handed out once between two sweeps of its span. Slots of scanned kinds are zero when they are.
//   4 While gc_marking is set no unmarked slot is handed out; no span is unswept then.
//   5 A span's slots belong to tasks of one owner: what an owner uses is the sum of its spans.
//
// Rejected: caches of kernel threads instead of Ps, which would need no critical section, but a frozen thread would sit
// on its spans, and the collector would have to mend what it is in the middle of; one bit of a mask for each allocation
// as Go does (a run costs its bits once); free lists through the objects, which touch memory in order to free it, and
// which conservative scanning takes for references; sharing spans between tasks, which needs a mark for each object to
// tell who uses what, and never frees a dead task's memory at once; marks at the end of the pages themselves, which the
// page's entry makes unnecessary: class and kind stand in the same word that says where the span begins, so marking an
// object reads that word and its line of bits.
//
// The heap does not depend on the scheduler: what it needs of it is the M's critical sections (rt/worker_head.h) and
// what each P begins with (proc_head). The scheduler tells it whose green thread runs on a P (use_heap).
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "rt/ref.h"
#include "runtime/heap/heap_figures.h"
#include "runtime/heap/heap_owner.h"
#include "runtime/heap/span.h"

namespace rt::detail {

/// What the collector does for the heap. Members may be null.
struct collector_hooks {
  /// `bytes` were handed to caches of `user` since the last call (of a large object: are about to be). May mark, start
  /// a cycle, park.
  void (*before_refill)(heap_owner& user, std::size_t bytes) = nullptr;
  /// `user` would pass its hard limit by `bytes`. Whether to try once more; false: the allocation fails. `attempt` says
  /// how often this allocation has been tried again so far.
  bool (*at_limit)(heap_owner& user, std::size_t bytes, int attempt) = nullptr;
  /// Behind gc_barrier (rt/ref.h). Any thread, anywhere.
  void (*barrier)(const void* old_value, const void* new_value) noexcept = nullptr;
  /// `swept` is about to be swept and has attachments: marks that are set now keep their slots. On any thread, in a
  /// critical section; takes no lock of the heap and no malloc. A span whose slots are all dead must have none
  /// afterwards.
  void (*sweep_attachments)(span& swept) noexcept = nullptr;
  /// A task has ended, and left pages of `bytes` to the orphans. On any thread, holding no lock of the heap.
  void (*task_ended)(std::size_t bytes) noexcept = nullptr;
  /// An object was allocated; its size, or that of its slot, in bytes. On the allocating thread, outside of critical
  /// sections. Only of allocations that take the slow path: with set_single_slot_runs, all.
  void (*allocated)(const void* object, std::size_t size) noexcept = nullptr;
  /// A sweep has freed an object. On any thread, in a critical section.
  void (*freed)(const void* object, std::size_t size) noexcept = nullptr;
  /// `freed` is about to be freed with all its objects, and has attachments: takes all of them off. Otherwise the same.
  void (*drop_attachments)(span& freed) noexcept = nullptr;
  /// The rt::ref at `slot` is about to be given `value`; with set_slot_checks only. Any thread, anywhere.
  void (*check_slot)(const void* slot, const void* value) noexcept = nullptr;
};

/// Once, before the first cycle; `hooks` stays where it is.
void set_collector_hooks(const collector_hooks& hooks) noexcept;

/// Every allocation takes the slow path, one slot a time, and so calls before_refill. Before the first allocation, or
/// with the world stopped.
void set_single_slot_runs(bool on) noexcept;

/// Sweeping fills what it frees with 0xdb, so that a use of it shows. At any time.
void set_fill_of_dead(bool on) noexcept;

/// Each object gets pages of its own, which are closed when it is freed, so that a use of it faults, and never used
/// again. With set_single_slot_runs, and when that may be called.
void set_no_reuse(bool on) noexcept;

/// collector_hooks::check_slot is called for each store to an rt::ref. While nothing marks.
void set_slot_checks(bool on) noexcept;

/// begin_mark looks through the whole heap, and ends the process where it contradicts itself (heap_check.h).
void set_heap_checks(bool on) noexcept;

void begin_mark() noexcept;
/// The two stand for what end_mark, whose stop shall last no longer with more owners, leaves to others: the figures of
/// owners. While marking goes on, before the stop; returns the figures of that moment.
heap_figures note_before_end_of_mark() noexcept;
void end_mark() noexcept;
/// After the stop, before the same thread sweeps.
void note_end_of_mark() noexcept;
/// Sweeps up to `count` spans; false when no span was left to sweep. Spans that caches have are not its business: they
/// are swept when their cache is done with them, at the latest by begin_mark.
bool sweep_some(std::size_t count) noexcept;

/// Calls `look` with each span that is in use, in the order of addresses. Tolerates that spans come and go, and sees
/// all that stay.
template <class Look>
void for_each_span(const Look& look) {
  std::uint32_t end = heap_pages_touched();
  for (std::uint32_t page = 0; page < end;) {
    page_entry entry = the_layout.entry(page);
    if (!entry.is_used() || entry.first_page() != page) {
      ++page;
      continue;
    }
    span& one = the_layout.spans[page];
    look(one);
    std::uint32_t pages = one.page_count.load(std::memory_order_relaxed);
    page += pages == 0 ? 1 : pages;
  }
}

/// What lies at an address, for crash reports: "a freed arena", "an object of the collected heap", … Null: it is not of
/// the heap. Async-signal-safe.
const char* describe_heap_address(std::uintptr_t address) noexcept;

/// What the heap is expected to need, in bytes (0: nobody knows): 10 % more stay when memory is given back.
void set_scavenge_goal(std::size_t bytes) noexcept;
/// Gives all free pages back to the system, now; how many bytes. Any thread.
std::size_t release_free_pages() noexcept;
/// Gives back what is beyond what the heap is expected to need and the spare; how many bytes. Any thread.
std::size_t release_surplus_pages() noexcept;

/// The heap of whatever belongs to no task: allocations of threads that run no green thread, and what ended tasks have
/// left behind.
heap_owner& orphans() noexcept;

// --- called by the scheduler ---------------------------------------------------------------------------------------
/// Gives some memory back, if that is due; when to call again (scavenger.h).
std::int64_t scavenge(std::int64_t now) noexcept;
/// How the heap learns whose green thread calls (null: nobody's), outside of critical sections.
void set_user_lookup(task_heap* (*current)() noexcept) noexcept;
/// A P begins to exist, at a place of its own below heap_places.
void add_place(proc_head& p, std::size_t place) noexcept;
/// Nobody uses the P: what its caches have left goes back to the heap.
void empty_place(const proc_head& p) noexcept;
/// The P ends.
void remove_place(const proc_head& p) noexcept;
/// The green threads that run on this P from now on belong to `user` (null: none runs). The P's owner, in a critical
/// section, or anybody while nobody has the P.
inline void use_heap(proc_head& p, const task_heap* user) noexcept {
  allocation_runs* runs = nullptr;
  if (user != nullptr) {
    if (const heap_owner* owner = user->get(); owner != nullptr) runs = owner->runs_at(p.heap_place);
  }
  p.runs.store(runs != nullptr ? runs : &no_runs, std::memory_order_relaxed);
}

}  // namespace rt::detail
