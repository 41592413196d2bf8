#include "runtime/gc/barrier_check.h"

#include <unistd.h>

#include <cstdio>

#include "runtime/gc/marker.h"
#include "runtime/heap/heap.h"
#include "runtime/sched/frame_list.h"

namespace rt::detail {

namespace {

constexpr std::size_t most_reports = 10;

RT_GC_UNSEEN std::uintptr_t word_at(std::uintptr_t place) noexcept {
  return *reinterpret_cast<const volatile std::uintptr_t*>(place);
}

void report(const object_place& holder, std::uintptr_t place, const object_place& lost) noexcept {
  char line[384];
  int length = std::snprintf(
      line, sizeof line,
      "gcverifybarrier: the word at %p, in the object at %p (%zu bytes) at offset %zu, referred to the object at %p "
      "(%zu bytes) when the collection began, and was overwritten without a write barrier; a reference in an object "
      "must be an rt::ref\n",
      reinterpret_cast<void*>(place), static_cast<void*>(holder.begin), holder.size,
      place - reinterpret_cast<std::uintptr_t>(holder.begin), static_cast<void*>(lost.begin), lost.size);
  if (length > 0) static_cast<void>(!write(STDERR_FILENO, line, static_cast<std::size_t>(length)));
}

}  // namespace

void barrier_check::note(std::uintptr_t low, std::uintptr_t high) noexcept {
  for (std::uintptr_t at = low; at + sizeof(void*) <= high; at += sizeof(void*)) {
    std::uintptr_t word = word_at(at);
    object_place found;
    if (the_layout.contains(word) && find_object(word, found)) noted_.push_back({at, word});
  }
}

// Those have no barrier, and need none (frame_list.h).
static bool is_frame(std::uintptr_t object) noexcept { return word_at(object) == frame_header::is_frame; }

void barrier_check::note_references() noexcept {
  noted_.clear();
  for_each_span([&](const span& one) {
    if (one.kind.load(std::memory_order_relaxed) == span_kind::plain) return;
    if (one.is_large()) {
      auto begin = reinterpret_cast<std::uintptr_t>(one.begin());
      if (one.is_allocated(0) && !is_frame(begin)) note(begin, begin + one.bytes());
      return;
    }
    for (std::size_t i = 0; i < one.slot_count(); ++i) {
      auto begin = reinterpret_cast<std::uintptr_t>(one.slot(i));
      if (one.is_allocated(i) && !is_frame(begin)) note(begin, begin + one.element_size());
    }
  });
}

std::size_t barrier_check::check() noexcept {
  std::size_t lost = 0;
  for (const reference& one : noted_) {
    object_place holder;
    object_place target;
    // What is unreachable itself may do as it likes, and an arena that has ended has no words any more.
    if (!find_object(one.place, holder) || holder.in->kind.load(std::memory_order_relaxed) == span_kind::plain ||
        !holder.in->is_marked(holder.index) || word_at(one.place) == one.word) {
      continue;
    }
    if (!find_object(one.word, target) || target.in->is_marked(target.index)) continue;
    if (lost++ < most_reports) report(holder, one.place, target);
  }
  noted_.clear();
  return lost;
}

}  // namespace rt::detail
