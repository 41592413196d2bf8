// Memory for green threads' stacks.
//
// Slots of one size (a class, a power of two from 64 KiB to 64 MiB) are cut from reservations of 256 MiB, so a million
// stacks are a few hundred mappings. A slot is, from low to high: guard, stack, and at its top whatever the scheduler
// keeps there (the G). Pages are committed by first touch. Huge pages are forbidden: one touched page would commit 2
// MiB.
//
// Guards are markers in the page tables where the kernel has MADV_GUARD_INSTALL (6.13): they cost no mapping. Elsewhere
// they are PROT_NONE pages, which cost two mappings a stack, so the number of stacks is capped below vm.max_map_count
// and a spawn beyond it is refused with an error that says so, instead of failing somewhere later.
//
// A guarded slot is never returned to the system: removing guards can fail and would race with the fault handler.
// What goes back are the pages (release_cached). Memory of a slot therefore always stays readable, which the scheduler
// relies on when it looks at descriptors of green threads that may have ended.
//
// Rejected: one mmap for each stack (two mappings each, slow start and end), growing stacks by copying (C++ keeps
// pointers into frames), segmented stacks (a cost at every call).
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "runtime/os/page_allocator.h"
#include "runtime/os/spin_lock.h"

namespace rt::detail {

/// A piece of memory for one stack.
struct stack_slot {
  char* base = nullptr;  // of the slot: the guard begins here
  std::size_t size = 0;  // of the slot, guard included
  std::size_t guard_size = 0;
  std::uint32_t size_class = 0;
  std::uint32_t index = 0;  // within its reservation; varies the place of the descriptor
};

/// Where an address lies.
struct stack_address {
  char* base = nullptr;
  std::size_t size = 0;
  std::size_t guard_size = 0;
  std::uint32_t index = 0;
  bool in_guard = false;
};

/// Totals for the statistics.
struct stack_totals {
  std::uint64_t carved = 0;  // slots with a guard
  std::uint64_t cached = 0;  // of these, in the pool's own cache
  std::uint64_t reserved_bytes = 0;
  std::uint64_t limit = 0;  // most slots that may be carved, 0: no limit
  std::uint64_t failures = 0;
  std::uint64_t carved_bytes = 0;
  std::uint64_t cached_bytes = 0;
};

class stack_pool {
 public:
  static constexpr std::size_t smallest = 64 * 1024;
  static constexpr std::uint32_t class_count = 11;  // 64 KiB … 64 MiB

  stack_pool();
  stack_pool(const stack_pool&) = delete;
  stack_pool& operator=(const stack_pool&) = delete;

  /// The class of the smallest slot that has `size` bytes, guard included; class_count when there is none.
  static std::uint32_t class_of(std::size_t size) noexcept;
  static std::size_t slot_size(std::uint32_t size_class) noexcept { return smallest << size_class; }
  /// 64 KiB, so that a large frame cannot jump over it (the code is compiled with -fstack-clash-protection as well); a
  /// quarter of the slot in the two smallest classes.
  static std::size_t guard_size(std::uint32_t size_class) noexcept {
    std::size_t quarter = slot_size(size_class) / 4;
    return quarter < 64 * 1024 ? quarter : 64 * 1024;
  }

  /// A slot of the class: a cached one or a new one. False when the system or the cap refuses; `*reason` (may be null)
  /// is then a constant text. Takes a short lock; a new slot costs a system call.
  bool take(std::uint32_t size_class, stack_slot& slot, const char** reason) noexcept;
  /// As many cached slots of the class as there are, at most `slots.size()`, the warmest first. Returns how many.
  std::size_t take_cached(std::uint32_t size_class, std::span<stack_slot> slots) noexcept;
  /// Puts slots of one class (one at least) back into the cache.
  void give(std::span<const stack_slot> slots) noexcept;
  void give(const stack_slot& slot) noexcept { give(std::span(&slot, 1)); }
  /// Gives the pages of all cached slots back to the system. Returns the bytes that were resident.
  std::uint64_t release_cached() noexcept;
  /// The paced form, to be called every few seconds: gives back the pages of the slots that nobody has taken since the
  /// last call. True when slots with pages are left, so that another call may find something. By one thread.
  bool release_unused() noexcept;

  /// Who else may still have a word in a free slot: `asks(slot)` gives the first byte of the slot that must keep its
  /// contents (the rest up to its top as well), or null. Asked under a lock of the pool, before the pages of a free
  /// slot go back; what it says must hold until they have.
  using kept_part = const char* (*)(const stack_slot& slot) noexcept;
  void set_kept_part(kept_part asks) noexcept { kept_part_.store(asks, std::memory_order_relaxed); }

  /// The slot in which an address lies. Async-signal-safe.
  bool find(const void* address, stack_address& found) const noexcept;
  /// Calls `visit(slot)` for every slot that was ever carved, in no particular order. Takes no lock.
  template <class Visit>
  void for_each_slot(Visit visit) const {
    std::uint32_t count = reservation_count_.load(std::memory_order_acquire);  // pairs with reserve_more's release
    for (std::uint32_t r = 0; r < count; ++r) {
      const reservation& one = reservations_[r];
      std::uint32_t carved = one.carved.load(std::memory_order_acquire);  // pairs with carve's release
      std::size_t size = slot_size(one.size_class);
      for (std::uint32_t i = 0; i < carved; ++i) {
        visit(stack_slot{one.base + i * size, size, guard_size(one.size_class), one.size_class, i});
      }
    }
  }

  stack_totals totals() const noexcept;
  bool guards_by_marker() const noexcept { return by_marker_; }

 private:
  struct reservation {
    char* base = nullptr;
    std::uint32_t size_class = 0;
    std::uint32_t slots = 0;
    std::atomic<std::uint32_t> carved{0};
  };
  struct class_state {
    os::spin_lock lock{os::lock_rank::stacks};
    std::vector<stack_slot, os::page_allocator<stack_slot>> cached;  // grows under the lock
    std::size_t clean = 0;                                           // cached[0, clean) have no resident pages
    std::size_t least = 0;               // fewest cached since the last release_unused: cached[0, least) lay unused
    std::uint32_t current = UINT32_MAX;  // the reservation that new slots come from
  };

  void discard(const stack_slot& slot) const noexcept;
  bool carve(class_state& state, std::uint32_t size_class, stack_slot& slot, const char** reason) noexcept;
  bool reserve_more(class_state& state, std::uint32_t size_class) noexcept;

  static constexpr std::size_t reservation_bytes = std::size_t{256} << 20;
  static constexpr std::uint32_t most_reservations = 16384;  // 4 TiB

  std::atomic<kept_part> kept_part_{nullptr};
  bool by_marker_;
  std::uint64_t limit_;
  std::atomic<std::uint64_t> carved_{0};
  std::atomic<std::uint64_t> failures_{0};
  std::atomic<std::uint32_t> reservation_count_{0};
  os::spin_lock reservations_lock_{os::lock_rank::none};
  reservation* reservations_;  // most_reservations entries, committed by touch
  mutable class_state classes_[class_count];
};

/// The process's pool. Made at the first use and never destroyed: fault handlers look into it at any time.
stack_pool& stacks() noexcept;

}  // namespace rt::detail
