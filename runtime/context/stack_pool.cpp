#include "runtime/context/stack_pool.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <new>

#include "runtime/context/sanitizer.h"
#include "runtime/os/fatal.h"
#include "runtime/os/memory.h"

namespace rt::detail {

namespace {

// Mappings left to everything else in the process (libraries, malloc, thread stacks) when guards cost mappings.
constexpr std::size_t mappings_for_others = 4096;
// Slots whose pages are given back in one hold of the lock: about 20 us.
constexpr std::size_t slots_in_batch = 32;

std::uint64_t resident_bytes(char* begin, std::size_t size) noexcept {
  unsigned char pages[256];
  std::size_t page = os::page_size();
  std::uint64_t resident = 0;
  for (std::size_t done = 0; done < size; done += sizeof pages * page) {
    std::size_t part = size - done < sizeof pages * page ? size - done : sizeof pages * page;
    if (mincore(begin + done, part, pages) != 0) return resident;
    for (std::size_t i = 0; i < part / page; ++i) resident += (pages[i] & 1U) != 0 ? page : 0;
  }
  return resident;
}

}  // namespace

stack_pool::stack_pool() : by_marker_(os::can_install_guards()), limit_(0) {
  if (!by_marker_) {
    std::size_t maps = os::max_map_count();
    limit_ = maps > 2 * mappings_for_others ? (maps - mappings_for_others) / 2 : maps / 4;
  }
  void* table = os::reserve(sizeof(reservation) * most_reservations, os::page_size(), "rtd: stack table");
  if (table == nullptr) os::fatal("no address space for the table of stacks");
  reservations_ = static_cast<reservation*>(table);  // zero pages are empty reservations
}

std::uint32_t stack_pool::class_of(std::size_t size) noexcept {
  if (size <= smallest) return 0;
  auto size_class = static_cast<std::uint32_t>(std::bit_width((size - 1) / smallest));
  return size_class < class_count ? size_class : class_count;
}

bool stack_pool::take(std::uint32_t size_class, stack_slot& slot, const char** reason) noexcept {
  class_state& state = classes_[size_class];
  {
    os::spin_guard guard(state.lock);
    if (!state.cached.empty()) {
      slot = state.cached.back();  // last in, first out: its pages are the warmest
      state.cached.pop_back();
      if (state.clean > state.cached.size()) state.clean = state.cached.size();
      if (state.least > state.cached.size()) state.least = state.cached.size();
      return true;
    }
  }
  if (carve(state, size_class, slot, reason)) return true;
  failures_.fetch_add(1, std::memory_order_relaxed);
  return false;
}

std::size_t stack_pool::take_cached(std::uint32_t size_class, std::span<stack_slot> slots) noexcept {
  class_state& state = classes_[size_class];
  os::spin_guard guard(state.lock);
  std::size_t count = std::min(slots.size(), state.cached.size());
  for (std::size_t i = 0; i < count; ++i) {
    slots[i] = state.cached.back();  // last in, first out: its pages are the warmest
    state.cached.pop_back();
  }
  if (state.clean > state.cached.size()) state.clean = state.cached.size();
  if (state.least > state.cached.size()) state.least = state.cached.size();
  return count;
}

void stack_pool::give(std::span<const stack_slot> slots) noexcept {
  class_state& state = classes_[slots.front().size_class];
  os::spin_guard guard(state.lock);
  try {
    state.cached.insert(state.cached.end(), slots.begin(), slots.end());
  } catch (const std::bad_alloc&) {
    // The cache cannot grow: the slots are lost to the pool, their memory is not resident for long.
    for (const stack_slot& slot : slots) discard(slot);
  }
}

bool stack_pool::carve(class_state& state, std::uint32_t size_class, stack_slot& slot, const char** reason) noexcept {
  if (limit_ != 0 && carved_.load(std::memory_order_relaxed) >= limit_) {
    if (reason != nullptr) {
      *reason =
          "the stack guards of this kernel cost two memory mappings each and vm.max_map_count leaves no more: raise it "
          "with `sysctl -w vm.max_map_count=…`, or use Linux 6.13 or later";
    }
    return false;
  }
  os::spin_guard guard(state.lock);
  if (state.current == UINT32_MAX ||
      reservations_[state.current].carved.load(std::memory_order_relaxed) == reservations_[state.current].slots) {
    if (!reserve_more(state, size_class)) {
      if (reason != nullptr) *reason = "the system has no address space left for stacks";
      return false;
    }
  }
  reservation& from = reservations_[state.current];
  std::uint32_t index = from.carved.load(std::memory_order_relaxed);
  std::size_t size = slot_size(size_class);
  slot = {from.base + index * size, size, guard_size(size_class), size_class, index};
  if (!os::install_guard(slot.base, slot.guard_size, by_marker_)) {
    if (reason != nullptr) *reason = "the system refused a stack guard (out of memory, or vm.max_map_count is reached)";
    return false;
  }
  carved_.fetch_add(1, std::memory_order_relaxed);
  from.carved.store(index + 1, std::memory_order_release);  // pairs with for_each_slot
  return true;
}

bool stack_pool::reserve_more(class_state& state, std::uint32_t size_class) noexcept {
  std::size_t size = slot_size(size_class);
  std::size_t bytes = size * 4 > reservation_bytes ? size * 4 : reservation_bytes;
  auto* base = static_cast<char*>(os::reserve(bytes, size, "rtd: stacks"));
  if (base == nullptr) return false;
  os::forbid_huge_pages(base, bytes);
  os::spin_guard guard(reservations_lock_);
  std::uint32_t count = reservation_count_.load(std::memory_order_relaxed);
  if (count == most_reservations) {
    os::release(base, bytes);
    return false;
  }
  reservation& fresh = reservations_[count];
  fresh.base = base;
  fresh.size_class = size_class;
  fresh.slots = static_cast<std::uint32_t>(bytes / size);
  reservation_count_.store(count + 1, std::memory_order_release);  // pairs with find and for_each_slot
  state.current = count;
  return true;
}

void stack_pool::discard(const stack_slot& slot) const noexcept {
  char* begin = slot.base + slot.guard_size;
  char* end = slot.base + slot.size;
  kept_part asks = kept_part_.load(std::memory_order_relaxed);
  const char* kept = asks == nullptr ? nullptr : asks(slot);
  if (kept != nullptr) end = slot.base + (static_cast<std::size_t>(kept - slot.base) & ~(os::page_size() - 1));
  os::discard_pages(begin, static_cast<std::size_t>(end - begin));
}

std::uint64_t stack_pool::release_cached() noexcept {
  std::uint64_t released = 0;
  for (class_state& state : classes_) {
    os::spin_guard guard(state.lock);
    for (std::size_t i = state.clean; i < state.cached.size(); ++i) {
      const stack_slot& slot = state.cached[i];
      char* begin = slot.base + slot.guard_size;
      std::size_t size = slot.size - slot.guard_size;
      released += resident_bytes(begin, size);
      discard(slot);
    }
    state.clean = state.cached.size();
  }
  return released;
}

bool stack_pool::release_unused() noexcept {
  bool more = false;
  for (class_state& state : classes_) {
    while (true) {
      // A batch at a time, so that a green thread that wants a stack does not wait for long.
      os::spin_guard guard(state.lock);
      std::size_t end = state.clean + slots_in_batch < state.least ? state.clean + slots_in_batch : state.least;
      if (state.clean >= end) {
        state.least = state.cached.size();
        more |= state.clean < state.least;
        break;
      }
      for (; state.clean < end; ++state.clean) {
        discard(state.cached[state.clean]);
      }
    }
  }
  return more;
}

bool stack_pool::find(const void* address, stack_address& found) const noexcept {
  const char* place = static_cast<const char*>(address);
  std::uint32_t count = reservation_count_.load(std::memory_order_acquire);  // pairs with reserve_more's release
  for (std::uint32_t r = 0; r < count; ++r) {
    const reservation& one = reservations_[r];
    std::size_t size = slot_size(one.size_class);
    if (place < one.base || place >= one.base + size * one.slots) continue;
    auto index = static_cast<std::uint32_t>(static_cast<std::size_t>(place - one.base) / size);
    if (index >= one.carved.load(std::memory_order_acquire)) return false;  // pairs with carve's release
    found.base = one.base + index * size;
    found.size = size;
    found.guard_size = guard_size(one.size_class);
    found.index = index;
    found.in_guard = place < found.base + found.guard_size;
    return true;
  }
  return false;
}

stack_totals stack_pool::totals() const noexcept {
  stack_totals totals;
  totals.limit = limit_;
  totals.failures = failures_.load(std::memory_order_relaxed);
  std::uint32_t count = reservation_count_.load(std::memory_order_acquire);  // pairs with reserve_more's release
  for (std::uint32_t r = 0; r < count; ++r) {
    const reservation& one = reservations_[r];
    std::uint64_t carved = one.carved.load(std::memory_order_relaxed);
    totals.reserved_bytes += std::uint64_t{slot_size(one.size_class)} * one.slots;
    totals.carved += carved;
    totals.carved_bytes += carved * slot_size(one.size_class);
  }
  for (std::uint32_t c = 0; c < class_count; ++c) {
    os::spin_guard guard(classes_[c].lock);
    totals.cached += classes_[c].cached.size();
    totals.cached_bytes += classes_[c].cached.size() * slot_size(c);
  }
  return totals;
}

stack_pool& stacks() noexcept {
  alignas(stack_pool) static unsigned char storage[sizeof(stack_pool)];
  static stack_pool* pool = ::new (static_cast<void*>(storage)) stack_pool;
  return *pool;
}

}  // namespace rt::detail
