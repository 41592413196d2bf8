// Objects of kind `destroyed` that a sweep has found dead: whose destructors are to be called.
//
// Each owner of spans has a queue of its own. Objects in it keep their slots. Whoever calls the destructor, on a green
// thread of the owner's task, then says so (destructor_called), and the slot becomes free with the next sweep that
// finds it unmarked. When the owner ends, the orphans get what is left.
//
// Owners whose queue has something in it, and nobody who serves it, stand in a list, so that whoever starts those
// servers needs to look at no others (serve_next_owner). One lock guards all queues and the list: it is held for some
// instructions, by sweeps and servers.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "rt/make.h"
#include "runtime/heap/span.h"

namespace rt::detail {

class heap_owner;
struct dead_block;

struct dead_object {
  span* in = nullptr;
  void* object = nullptr;
  destructor how = nullptr;
};

/// Of one owner. Changed under the lock of dead_objects.cpp; what is atomic may be read by anybody.
struct dead_queue {
  std::atomic<std::size_t> count{0};
  std::atomic<std::uint32_t> servers{0};
  std::atomic<std::uint64_t> taken{0};  // so far
  dead_block* first = nullptr;
  dead_block* last = nullptr;  // while there is a first one
  std::uint64_t taken_at_last_look = 0;
  heap_owner* next = nullptr;  // in the list of those that wait for a server
  heap_owner* previous = nullptr;
  bool is_listed = false;
  /// Whether some wait for their destructors or are in them, at about this moment.
  bool is_busy() const noexcept {
    return count.load(std::memory_order_relaxed) != 0 || servers.load(std::memory_order_relaxed) != 0;
  }
};

/// The caller serves the queue, after serve_next_owner: takes one out. False: there is none, and the caller serves it
/// no longer. Any thread. No malloc, no parking.
bool take_dead_object(heap_owner& of, dead_object& to) noexcept;
/// The caller serves it no longer, whatever is in it.
void stop_serving(heap_owner& of) noexcept;
/// After the destructor has returned, or has left by an exception.
void destructor_called(const dead_object& one) noexcept;

/// An owner out of the list, for a server to be started; null when there is none. `admit` is asked under the lock
/// whether one may be: a yes has to keep the owner from ending until stop_serving, or until take_dead_object has said
/// false. Any thread.
heap_owner* serve_next_owner(bool (*admit)(heap_owner& one) noexcept) noexcept;
/// Puts it into the list as well if its servers, less than `most`, have taken nothing since the last call of this.
void list_if_stuck(heap_owner& one, std::uint32_t most) noexcept;

/// Whether the object of the slot is dead and waits for its destructor, or is in it.
bool is_destructor_due(const span& in, std::size_t index) noexcept;
/// How many are in all queues, at about this moment.
std::size_t dead_object_count() noexcept;
/// Memory of the queues, in bytes.
std::size_t dead_queue_bytes() noexcept;

// --- called by the heap
/// Queues the object of the slot if it has a destructor to be called. Whether the slot must stay in use.
bool queue_dead_object(span& in, std::size_t index) noexcept;
/// `from` ends, and nobody serves its queue: `heir` gets what is in it.
void hand_down_dead_objects(heap_owner& from, heap_owner& heir) noexcept;

}  // namespace rt::detail
