// The collected heap: objects, references, roots, and the collector that looks after them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "rt/arena.h"
#include "rt/make.h"
#include "rt/ref.h"

namespace rt {

namespace detail {

struct root_slot;
/// A slot that keeps `object` (null: nothing yet) alive. Any thread. @throws std::bad_alloc
root_slot* new_root(const void* object);
void end_root(root_slot* slot) noexcept;
void set_root(root_slot* slot, const void* object) noexcept;
const void* root_value(const root_slot* slot) noexcept;

/// While the collector marks: tells it of all that the words of [begin, begin + size) refer to, which have just been
/// stored somewhere.
void shade_words(const void* begin, std::size_t size) noexcept;

}  // namespace detail

/// A reference to an object of the collected heap for memory that the collector does not see: what malloc and new give,
/// objects of the standard library's containers and functions, thread-local variables, stacks of threads that are none
/// of the runtime's. While it lives, the object does.
///
/// It is a handle to a slot of a table that the collector scans: 8 bytes, and an atomic exchange when it is made and
/// when it ends. A cycle of roots and objects that contain them is never collected: objects of the heap hold rt::ref.
///
/// As with a plain pointer, one root may be read by any number of threads while none writes it.
template <class T>
class root {
 public:
  using element_type = T;

  /// Refers to nothing. Takes a slot when it is first given an object.
  root() noexcept = default;
  explicit(false) root(std::nullptr_t) noexcept {}
  /// @throws std::bad_alloc, and so do the copies.
  explicit(false) root(T* object) : slot_(object == nullptr ? nullptr : detail::new_root(object)) {}
  root(const root& other) : root(other.get()) {}
  root(root&& other) noexcept : slot_(std::exchange(other.slot_, nullptr)) {}
  ~root() {
    if (slot_ != nullptr) detail::end_root(slot_);
    // Not to be left out as a dead store: where a plugin's variables have a slot's address, the slot is theirs.
    const_cast<detail::root_slot* volatile&>(slot_) = nullptr;
  }
  root& operator=(T* object) {
    if (slot_ != nullptr) {
      detail::set_root(slot_, object);
    } else if (object != nullptr) {
      slot_ = detail::new_root(object);
    }
    return *this;
  }
  root& operator=(const root& other) { return *this = other.get(); }  // NOLINT(bugprone-unhandled-self-assignment)
  root& operator=(root&& other) noexcept {
    std::swap(slot_, other.slot_);
    return *this;
  }

  T* get() const noexcept {
    return slot_ == nullptr ? nullptr : static_cast<T*>(const_cast<void*>(detail::root_value(slot_)));
  }
  explicit(false) operator T*() const noexcept { return get(); }
  T* operator->() const noexcept { return get(); }
  std::add_lvalue_reference_t<T> operator*() const noexcept { return *get(); }

 private:
  detail::root_slot* slot_ = nullptr;
};

/// Collects: returns when everything that was unreachable at the call has been found, and its memory can be used again.
/// Destructors of such objects may still run. Parks the calling green thread; a thread that is none of the runtime's
/// blocks. Outside of rt::run it does nothing.
///
/// It is not needed in ordinary programs: collections happen by themselves.
void gc();

/// No collections because of growth (set_gc_percent).
inline constexpr int gc_off = -1;
/// Sets how much the heap may grow, in percent of what is live (and of stacks and global variables), until a collection
/// is over: 100 at first, so that the heap is twice as large as what is live. Twice the percentage costs twice the
/// memory and half the CPU time. Counts at once. gc_off (any negative number): only a memory limit, a task's limits,
/// the end of a task that leaves much behind, the period of two minutes and rt::gc cause collections. Any thread.
/// Returns the old value.
int set_gc_percent(int percent) noexcept;

/// No memory limit.
inline constexpr std::uint64_t no_memory_limit = UINT64_MAX;
/// Sets a soft limit in bytes on the memory that the runtime has from the system: the heap, backed by memory, its
/// tables, and stacks. Near the limit collections come as often as is needed to keep it, whatever the percentage; but
/// they never take more than half of the CPU time, and what is live is never given up: then the limit is passed. Counts
/// at once. Any thread. Returns the old value.
std::uint64_t set_memory_limit(std::uint64_t bytes) noexcept;

/// The memory of the runtime and the history of its collections: Go's runtime.MemStats, field by field, in its order.
/// All sizes in bytes, all times in nanoseconds. Identities: heap_sys = heap_inuse + heap_idle; heap_released <=
/// heap_idle; heap_alloc = total_alloc less all that was freed; heap_objects = mallocs - frees; sys is the sum of all
/// fields that end in _sys.
struct mem_stats {
  std::uint64_t alloc = 0;        ///< As heap_alloc.
  std::uint64_t total_alloc = 0;  ///< Allocated so far.
  std::uint64_t sys = 0;          ///< Obtained from the system.
  std::uint64_t lookups = 0;      ///< Always 0, as in Go.
  std::uint64_t mallocs = 0;      ///< Objects allocated so far; small ones that share a slot count each.
  std::uint64_t frees = 0;        ///< Objects freed so far.

  std::uint64_t heap_alloc = 0;     ///< In objects that are reachable or have not been swept.
  std::uint64_t heap_sys = 0;       ///< Address space of the heap that has been used.
  std::uint64_t heap_idle = 0;      ///< In pages without objects.
  std::uint64_t heap_inuse = 0;     ///< In pages that hold objects.
  std::uint64_t heap_released = 0;  ///< Of heap_idle, given back to the system.
  std::uint64_t heap_objects = 0;

  std::uint64_t stack_inuse = 0;  ///< In stacks of green threads (address space).
  std::uint64_t stack_sys = 0;    ///< In all stacks, also those of ended green threads.
  std::uint64_t mspan_inuse = 0;  ///< Descriptors of spans.
  std::uint64_t mspan_sys = 0;
  std::uint64_t mcache_inuse = 0;  ///< Caches of Ps and tasks.
  std::uint64_t mcache_sys = 0;
  std::uint64_t buck_hash_sys = 0;  ///< Tables of profiles.
  std::uint64_t gc_sys = 0;         ///< Tables of the heap and of the collector.
  std::uint64_t other_sys = 0;

  std::uint64_t next_gc = 0;          ///< The goal: at which size of the heap the next collection is to be over.
  std::uint64_t last_gc = 0;          ///< When the last one ended, since 1970; 0: there was none.
  std::uint64_t pause_total_ns = 0;   ///< All stops of collections, the waiting for their begin included.
  std::uint64_t pause_ns[256] = {};   ///< The stops of collection number n at (n + 255) % 256.
  std::uint64_t pause_end[256] = {};  ///< When it ended, since 1970, at the same place.
  std::uint32_t num_gc = 0;           ///< Collections that have ended.
  std::uint32_t num_forced_gc = 0;    ///< Of them, those that rt::gc has caused.
  double gc_cpu_fraction = 0;         ///< The part of all Ps' CPU time since the start that collections took.
  bool enable_gc = true;
  bool debug_gc = false;  ///< Always false, as in Go.

  struct size_figures {
    std::uint32_t size = 0;
    std::uint64_t mallocs = 0;
    std::uint64_t frees = 0;
  };
  static constexpr std::size_t size_count = detail::size_class_count;
  size_figures by_size[size_count] = {};  ///< Of each size class; large objects are in none.
};

/// Reads all of them. Stops nothing, so figures that change are each of a moment of the call; the identities hold all
/// the same. Takes some microseconds. Any thread.
mem_stats read_mem_stats() noexcept;

}  // namespace rt
