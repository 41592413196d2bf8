// Roots that are not on green threads' stacks: slots of rt::root, the writable data of the program and its plugins, and
// the stack of the thread that called rt::run.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "runtime/gc/marker.h"
#include "runtime/os/page_allocator.h"
#include "runtime/os/spin_lock.h"

namespace rt::detail {

struct root_slot;

/// Slots for references in memory that the collector does not see. They lie in pages that are never given back, and are
/// scanned a page at a time, without a lock: a free slot holds the address of another one, which is no object.
class root_table {
 public:
  /// Null when the system has no memory. Any thread.
  root_slot* take() noexcept;
  void give(root_slot& slot) noexcept;
  /// Whether there is a slot at the address, in use or free. Any thread.
  bool holds(std::uintptr_t address) const noexcept;
  /// Takes its object from the slot at the address, if it has one. Any thread.
  static void empty(std::uintptr_t address) noexcept;
  /// Calls `visit(low, high)` with all slots, in pieces.
  template <class Visit>
  void for_each_page(const Visit& visit) const noexcept {
    for (page* one = first_.load(std::memory_order_acquire); one != nullptr; one = one->next) {  // pairs with add_page
      visit(static_cast<const void*>(one->slots), static_cast<const void*>(one->slots + slots_in_page));
    }
  }
  /// Bytes obtained from the system.
  std::uint64_t bytes() const noexcept { return bytes_.load(std::memory_order_relaxed); }
  /// How many are in use.
  std::uint64_t count() const noexcept { return count_.load(std::memory_order_relaxed); }

 private:
  static constexpr std::size_t page_size = 4096;
  static constexpr std::size_t slots_in_page = page_size / sizeof(void*) - 1;
  struct page {
    page* next;
    std::atomic<std::uintptr_t> slots[slots_in_page];
  };
  static_assert(sizeof(page) == page_size);

  bool add_page() noexcept RT_REQUIRES(lock_);

  os::spin_lock lock_{os::lock_rank::none};
  std::atomic<std::uintptr_t>* free_ RT_GUARDED_BY(lock_) = nullptr;
  std::atomic<page*> first_{nullptr};
  // What lies outside of these is no slot; most words are told apart by that.
  std::atomic<std::uintptr_t> lowest_{UINTPTR_MAX};
  std::atomic<std::uintptr_t> highest_{0};
  std::atomic<std::uint64_t> count_{0};
  std::atomic<std::uint64_t> bytes_{0};
};
root_table& roots() noexcept;

/// A range of words that is scanned.
struct root_range {
  const char* low;
  const char* high;
};
using root_ranges = std::vector<root_range, os::page_allocator<root_range>>;

/// Calls `visit(low, high)` with the writable data of everything that is loaded, but for the system's own libraries.
/// The loader's lock is held: nothing is unloaded meanwhile.
void for_each_data_segment(void (*visit)(void* argument, root_range range), void* argument) noexcept;
/// The name of what the address's data segment belongs to and of the symbol there, if one has it; for reports.
std::string data_place(const void* address);

}  // namespace rt::detail
