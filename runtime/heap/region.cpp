#include "runtime/heap/region.h"

#include "runtime/heap/poison.h"
#include "runtime/heap/span.h"
#include "runtime/os/fatal.h"
#include "runtime/os/memory.h"

namespace rt::detail {

heap_layout the_layout;

namespace {

// How much address space to ask for, in bytes: 1 TiB is more than machines have memory; where it is refused (a limit of
// address space, 39 bits of it) half as much and so on. Under ThreadSanitizer, whose shadow has room for little more
// than that in all, less; and under qemu-user, which visits each page of what it maps (10 s for 1 TiB), what tests
// need.
#if defined(RT_HEAP_UNDER_EMULATION)
constexpr std::size_t most_reserved = std::size_t{1} << 33;
#else
constexpr std::size_t most_reserved = std::size_t{1} << (heap_under_thread_sanitizer ? 36 : 40);
#endif
constexpr std::size_t least_reserved = std::size_t{1} << 28;

// Sanitizers and emulators have their own use for most of the address space.
#if defined(RT_ADDRESS_SANITIZER) || defined(RT_HEAP_UNDER_TSAN) || !defined(__x86_64__)
constexpr bool choose_base = false;
#else
constexpr bool choose_base = true;
#endif

// A random multiple of 4 MiB from 16 TiB to 112 TiB: below the libraries and stacks, above what programs map by
// themselves. Its upper half lies between 0x1000 and 0x7000.
std::uintptr_t random_base() noexcept {
  constexpr std::uintptr_t lowest = std::uintptr_t{1} << 44;
  constexpr std::uintptr_t span_of_choice = 6 * (std::uintptr_t{1} << 44);
  std::uint64_t random = 0;
  os::random_bytes(&random, sizeof random);
  return lowest + random % (span_of_choice / heap_chunk_size) * heap_chunk_size;
}

}  // namespace

bool reserve_heap(heap_layout& layout, std::size_t size) noexcept {
  void* base = nullptr;
  constexpr int tries = 4;
  for (int i = 0; i < tries && base == nullptr && choose_base; ++i) {
    std::uintptr_t wanted = random_base();
    base = os::reserve_address_space(wanted, size, heap_chunk_size, os::access::none, "rt: heap");
    if (base == nullptr || i + 1 == tries) break;  // taken as it comes at the last try
    if (reinterpret_cast<std::uintptr_t>(base) - wanted > heap_chunk_size) {
      os::release(base, size);
      base = nullptr;
    }
  }
  if (base == nullptr) base = os::reserve_address_space(0, size, heap_chunk_size, os::access::none, "rt: heap");
  if (base == nullptr) return false;
  std::size_t pages = size >> heap_page_shift;
  std::size_t entry_bytes = pages * sizeof(std::atomic<std::uint64_t>);
  std::size_t span_bytes = pages * sizeof(span);
  void* entries = os::reserve_address_space(0, entry_bytes, 0, os::access::read, "rt: heap page entries");
  void* spans = os::reserve_address_space(0, span_bytes, 0, os::access::read, "rt: heap spans");
  if (entries == nullptr || spans == nullptr) {
    os::release(base, size);
    if (entries != nullptr) os::release(entries, entry_bytes);
    if (spans != nullptr) os::release(spans, span_bytes);
    return false;
  }
  // Touching a page of a sparse table must not commit 2 MiB.
  os::forbid_huge_pages(entries, entry_bytes);
  os::forbid_huge_pages(spans, span_bytes);
  layout.base = reinterpret_cast<std::uintptr_t>(base);
  layout.entries = static_cast<std::atomic<std::uint64_t>*>(entries);
  layout.spans = static_cast<span*>(spans);
  layout.size = size;
  return true;
}

void reserve_the_heap() noexcept {
  for (std::size_t size = most_reserved; size >= least_reserved; size /= 2) {
    if (reserve_heap(the_layout, size)) return;
  }
  os::fatal("the system refuses %zu MiB of address space for the heap: see RLIMIT_AS and vm.overcommit_memory",
            least_reserved >> 20);
}

bool open_chunk(const heap_layout& layout, std::uint32_t chunk) noexcept {
  std::size_t first_page = std::size_t{chunk} * pages_per_chunk;
  return os::permit_writing(layout.address_of(static_cast<std::uint32_t>(first_page)), heap_chunk_size) &&
         os::permit_writing(layout.entries + first_page, pages_per_chunk * sizeof layout.entries[0]) &&
         os::permit_writing(layout.spans + first_page, pages_per_chunk * sizeof layout.spans[0]);
}

}  // namespace rt::detail
