// The heap profile: who has allocated what there is, and what there was.
//
// Allocations are sampled (heap/sampling.h), and each sample is told to the record of its stack and hangs on its object
// (gc/attachments.h) until a sweep finds that dead. What is in use is told as of a collection, as in Go: allocations
// count from the end of the next marking on, and what that marking found dead is taken off at the same time, when its
// sweep is complete. Otherwise the profile would show, between two collections, all garbage made since, and the more
// the later it is asked for.
//
// So each change has the number of the marking with whose end it becomes visible: an allocation the next one's, a death
// that of the marking that found it. A record keeps apart what belongs to the marking that is being swept and to the
// next one, and puts together the rest whenever it is changed (heap_figures::advance).
#include <new>

#include "rt/profile.h"
#include "runtime/gc/attachments.h"
#include "runtime/heap/heap_state.h"
#include "runtime/heap/sampling.h"
#include "runtime/observe/stack_table.h"
#include "runtime/sched/scheduler.h"

namespace rt {

namespace detail {

namespace {

// The hook, which calls own_frames, and the function of allocate.cpp that calls it.
constexpr std::size_t frames_of_the_hook = 2;

struct sums {
  double allocated_objects = 0;
  double allocated_bytes = 0;
  double freed_objects = 0;
  double freed_bytes = 0;

  void add(const sums& other) noexcept {
    allocated_objects += other.allocated_objects;
    allocated_bytes += other.allocated_bytes;
    freed_objects += other.freed_objects;
    freed_bytes += other.freed_bytes;
  }
};

struct heap_figures_of_stack {
  sums past;                  // of markings before `marking`
  sums now;                   // of it
  sums coming;                // of the next one
  std::uint32_t marking = 0;  // the number of markings that had ended at the last change

  void advance(std::uint32_t ended) noexcept {
    if (ended == marking) return;
    past.add(now);
    now = sums{};
    if (ended - marking == 1) {
      now = coming;
    } else {
      past.add(coming);
    }
    coming = sums{};
    marking = ended;
  }
};

std::atomic<bool> is_set{false};  // by the program, or by the first run

using heap_table = stack_table<heap_figures_of_stack>;
heap_table objects;

std::uint32_t markings_ended() noexcept { return the_heap().generation.load(std::memory_order_relaxed) / 2; }

// Not inlined: a frame of its own (frames_of_the_hook).
__attribute__((noinline)) void note_allocated(void* object, std::size_t size, double weight) noexcept {
  heap_table::record& one = objects.note(frames_of_the_hook, [&](heap_figures_of_stack& figures) {
    figures.advance(markings_ended());
    figures.coming.allocated_objects += weight;
    figures.coming.allocated_bytes += weight * static_cast<double>(size);
  });
  if (attach_sample(object, &one, weight)) return;
  // Nobody will tell of its end.
  objects.change(one, [&](heap_figures_of_stack& figures) {
    figures.advance(markings_ended());
    figures.coming.freed_objects += weight;
    figures.coming.freed_bytes += weight * static_cast<double>(size);
  });
}

void note_freed(void* sample, std::size_t size, double weight) noexcept {
  objects.change(*static_cast<heap_table::record*>(sample), [&](heap_figures_of_stack& figures) {
    figures.advance(markings_ended());
    figures.now.freed_objects += weight;
    figures.now.freed_bytes += weight * static_cast<double>(size);
  });
}

heap_record to_record(const heap_table::record& one, std::uint32_t marking, bool is_swept) {
  heap_figures_of_stack figures = one.figures;
  figures.advance(marking);
  sums seen = figures.past;
  if (is_swept) seen.add(figures.now);
  heap_record result;
  result.allocated_objects = seen.allocated_objects;
  result.allocated_bytes = seen.allocated_bytes;
  result.in_use_objects = seen.allocated_objects - seen.freed_objects;
  result.in_use_bytes = seen.allocated_bytes - seen.freed_bytes;
  // Sums of fractions: what is all gone leaves a rest far below one object.
  if (result.in_use_objects < 0.5) result.in_use_objects = result.in_use_bytes = 0;
  result.task.assign(one.task, one.task_size);
  result.frames.assign(one.frames, one.frames + one.depth);
  return result;
}

}  // namespace

}  // namespace detail

void detail::start_heap_profile() noexcept {
  if (is_set.load(std::memory_order_relaxed)) return;
  try {
    set_heap_profile_rate(default_sample_rate);
  } catch (const std::bad_alloc&) {
    // The system has no memory for it: the profile stays off.
  }
}

std::size_t set_heap_profile_rate(std::size_t bytes) {
  detail::is_set.store(true, std::memory_order_relaxed);
  std::size_t before = detail::sample_rate.load(std::memory_order_relaxed);
  if (bytes == before) return before;
  if (bytes != 0) {
    detail::objects.prepare();
    detail::on_sample_end.store(&detail::note_freed, std::memory_order_release);  // pairs with the sweep
    detail::on_sample.store(&detail::note_allocated, std::memory_order_release);  // pairs with who has seen the rate
  }
  detail::scheduler* the = detail::the_scheduler();
  if (the != nullptr) the->stop_the_world();
  detail::set_sample_rate(bytes);
  if (the != nullptr) the->start_the_world();
  return before;
}

std::vector<heap_record> heap_profile() {
  // One picture: if a marking ends meanwhile, another one. After some tries it is taken as it is: then a record may be
  // one collection ahead of another.
  constexpr int tries = 10;
  detail::heap_state& heap = detail::the_heap();
  std::vector<heap_record> result;
  for (int i = 0; i < tries; ++i) {
    result.clear();
    std::uint32_t marking = detail::markings_ended();
    bool is_swept = heap.is_swept();
    detail::objects.for_each([&](const detail::heap_table::record& one) {
      heap_record copy = detail::to_record(one, marking, is_swept);
      if (copy.allocated_objects != 0) result.push_back(std::move(copy));
    });
    if (detail::markings_ended() == marking) break;
  }
  return result;
}

}  // namespace rt
