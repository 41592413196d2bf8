// Arenas: chunks are large objects, each of which refers to the one before.
//
// A chunk is given up in two steps. When the arena ends its memory goes back to the system, so that it counts no
// longer, and its pages are closed, so that a use of them faults. When a later sweep finds that nothing refers to the
// chunk, its addresses become free. Between the two the span stands there as one of nothing that is scanned.
//
// The race by name: *the end of an arena against the marker*. The marker may be in the middle of the chunk. Memory that
// has gone back to the system reads as zero, which harms nobody; pages are closed only while nothing marks. A chunk
// that is given up while the collector marks is closed by the sweep after it, if it is still referred to then.
#include "rt/arena.h"

#include <algorithm>

#include "rt/usage_error.h"
#include "runtime/heap/cache_access.h"
#include "runtime/heap/heap_state.h"
#include "runtime/heap/poison.h"
#include "runtime/os/memory.h"

namespace rt {

namespace {

// The first chunk of an arena and the largest that is made unless one object is larger, in bytes; each is twice the one
// before. A large object (rt/size_class.h) at least.
constexpr std::size_t first_chunk = 64 << 10;
constexpr std::size_t largest_chunk = 1 << 20;
static_assert(first_chunk > detail::largest_small_size);

}  // namespace

char* arena::grow(std::size_t size, std::size_t alignment) {
  if (detail::the_layout.contains(reinterpret_cast<std::uintptr_t>(this))) {
    throw usage_error("rt::arena: it lies in an object of the collected heap; make it a local variable");
  }
  detail::arena_chunk* before = last_.get();
  std::size_t wanted = first_chunk;
  if (before != nullptr) {
    wanted = std::min(2 * before->size, largest_chunk);
  }
  wanted = std::max(wanted, sizeof(detail::arena_chunk) + alignment + size);
  detail::arena_chunk* chunk = detail::make_arena_chunk(wanted, before);
  last_ = chunk;
  auto at = reinterpret_cast<std::uintptr_t>(chunk + 1);
  char* begin = reinterpret_cast<char*>((at + alignment - 1) & ~(alignment - 1));
  next_ = begin + size;
  used_ += size;
  return begin;
}

namespace detail {

arena_chunk* make_arena_chunk(std::size_t size, arena_chunk* before) {
  void* memory = allocate_large(size, alignof(std::max_align_t), span_kind::scanned);
  open_to_use(memory, sizeof(arena_chunk));
  auto* chunk = ::new (memory) arena_chunk;
  chunk->before = before;
  chunk->size = span_of(reinterpret_cast<std::uintptr_t>(memory))->bytes();
  return chunk;
}

void free_arena_chunks(arena_chunk* last) noexcept {
  heap_state& heap = the_heap();
  while (last != nullptr) {
    span& one = *span_of(reinterpret_cast<std::uintptr_t>(last));
    last = last->before.get();
    no_marking_changes guard(heap);
    heap.give_up(one);
  }
}

}  // namespace detail
}  // namespace rt
