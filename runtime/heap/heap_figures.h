// The heap's figures, for statistics and for the collector's pacing.
#pragma once

#include <cstddef>
#include <cstdint>

#include "rt/size_class.h"

namespace rt::detail {

/// All bytes; each figure is of some moment of the call. Go's name for it stands behind.
///   span_bytes + idle_bytes = heap_bytes;  released_bytes <= idle_bytes;
///   allocated_* - freed_* = what is live or not yet found dead.
struct heap_figures {
  std::uint64_t allocated_bytes = 0;    // so far, in slots and large objects (TotalAlloc)
  std::uint64_t allocated_objects = 0;  // (Mallocs, with tiny_objects)
  std::uint64_t freed_bytes = 0;        // so far
  std::uint64_t freed_objects = 0;      // (Frees, with tiny_objects)
  std::uint64_t tiny_objects = 0;       // so far, in slots that several share, each of which counts as an object too
  std::uint64_t heap_bytes = 0;         // address space that has been used so far (HeapSys)
  std::uint64_t span_bytes = 0;         // in spans (HeapInuse)
  std::uint64_t idle_bytes = 0;         // in free pages (HeapIdle)
  std::uint64_t released_bytes = 0;     // of them, not backed by memory (HeapReleased)
  std::uint64_t span_table_used = 0;    // descriptors of spans in use (MSpanInuse)
  std::uint64_t span_table_bytes = 0;   // pages of the table that have been touched (MSpanSys)
  std::uint64_t cache_used = 0;         // caches and tables of owners (MCacheInuse)
  std::uint64_t cache_bytes = 0;        // obtained for them (MCacheSys)
  std::uint64_t table_bytes = 0;        // page entries, free-page maps, queues (part of GCSys)
  std::uint64_t scavenged_bytes = 0;    // so far: given back to the system
  std::uint64_t scavenging_nanoseconds = 0;  // so far, of CPU time, in the background
  std::uint64_t limit_failures = 0;          // so far: allocations refused by a task's limit
  std::uint64_t memory_failures = 0;         // so far: because the system had no memory
  std::uint64_t live_bytes() const noexcept { return allocated_bytes - freed_bytes; }
  std::uint64_t live_objects() const noexcept { return allocated_objects - freed_objects; }
};

/// Of one size class, all owners together (BySize).
struct class_figures {
  std::size_t size = 0;
  std::uint64_t allocated = 0;  // objects so far
  std::uint64_t freed = 0;
};

heap_figures read_heap_figures() noexcept;
/// The last one is of large objects, with size 0.
void read_class_figures(class_figures (&figures)[size_class_count + 1]) noexcept;

/// For pacing, one load each.
std::uint64_t heap_span_bytes() noexcept;
/// Pages from the region's begin that have ever been used.
std::uint32_t heap_pages_touched() noexcept;

}  // namespace rt::detail
