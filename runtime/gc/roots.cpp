#include "runtime/gc/roots.h"

#include <dlfcn.h>
#include <link.h>

#include <cstring>
#include <string_view>

#include "rt/ref.h"
#include "runtime/gc/excluded_roots.h"
#include "runtime/os/memory.h"

namespace rt::detail {

namespace {

// Libraries of the system that never see an object of the collected heap but by arguments; sanitizers' are large.
constexpr std::string_view system_libraries[] = {"libc.so",    "libm.so",  "libstdc++.so", "libgcc_s.so", "ld-linux",
                                                 "libpthread", "libdl.so", "linux-vdso",   "libasan",     "libtsan",
                                                 "libubsan",   "liblsan",  "libc++"};

bool is_of_the_system(const char* path) noexcept {
  const char* slash = std::strrchr(path, '/');
  std::string_view name = slash == nullptr ? path : slash + 1;
  for (std::string_view one : system_libraries) {
    if (name.substr(0, one.size()) == one) return true;
  }
  return false;
}

// Those of libraries that are being unloaded: one at a time, and some that could not be in the end.
constexpr std::size_t most_excluded = 64;
os::spin_lock excluded_lock{os::lock_rank::none};
root_range excluded[most_excluded] RT_GUARDED_BY(excluded_lock) = {};

bool is_excluded(const char* low) noexcept {
  os::spin_guard guard(excluded_lock);
  for (const root_range& one : excluded) {
    if (low >= one.low && low < one.high) return true;
  }
  return false;
}

struct segment_visit {
  void (*visit)(void*, root_range);
  void* argument;

  // Without the heap's own description: its base is the address of the first object.
  void report(const char* low, const char* high) const {
    const auto* begin = reinterpret_cast<const char*>(&the_layout);
    const char* end = begin + sizeof the_layout;
    if (begin >= low && end <= high) {
      if (low < begin) visit(argument, {low, begin});
      low = end;
    }
    if (low < high && !is_excluded(low)) visit(argument, {low, high});
  }
};

int visit_object(dl_phdr_info* info, std::size_t, void* wanted_pointer) {
  const auto& wanted = *static_cast<const segment_visit*>(wanted_pointer);
  if (is_of_the_system(info->dlpi_name)) return 0;
  // What was relocated once and is read-only since holds no object.
  root_range constant{nullptr, nullptr};
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const ElfW(Phdr)& part = info->dlpi_phdr[i];
    if (part.p_type != PT_GNU_RELRO) continue;
    constant.low = reinterpret_cast<const char*>(info->dlpi_addr + part.p_vaddr);
    constant.high = constant.low + part.p_memsz;
  }
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const ElfW(Phdr)& part = info->dlpi_phdr[i];
    if (part.p_type != PT_LOAD || (part.p_flags & PF_W) == 0) continue;
    const auto* low = reinterpret_cast<const char*>(info->dlpi_addr + part.p_vaddr);
    const char* high = low + part.p_memsz;
    if (constant.low >= low && constant.high <= high && constant.low < constant.high) {
      wanted.report(low, constant.low);
      low = constant.high;
    }
    wanted.report(low, high);
  }
  return 0;
}

}  // namespace

bool root_table::add_page() noexcept {
  void* memory = os::reserve(page_size, page_size, "rt: roots");
  if (memory == nullptr) return false;
  bytes_.fetch_add(page_size, std::memory_order_relaxed);
  auto* fresh = static_cast<page*>(memory);
  for (std::atomic<std::uintptr_t>& slot : fresh->slots) {
    slot.store(reinterpret_cast<std::uintptr_t>(free_), std::memory_order_relaxed);
    free_ = &slot;
  }
  const auto begin = reinterpret_cast<std::uintptr_t>(memory);
  // Under the lock; those who look at them without it have the address of a slot from somebody who took it afterwards.
  if (begin < lowest_.load(std::memory_order_relaxed)) lowest_.store(begin, std::memory_order_relaxed);
  if (begin + page_size > highest_.load(std::memory_order_relaxed))
    highest_.store(begin + page_size, std::memory_order_relaxed);
  fresh->next = first_.load(std::memory_order_relaxed);
  first_.store(fresh, std::memory_order_release);  // pairs with for_each_page
  return true;
}

bool root_table::holds(std::uintptr_t address) const noexcept {
  if (address < lowest_.load(std::memory_order_relaxed) || address >= highest_.load(std::memory_order_relaxed) ||
      address % sizeof(void*) != 0) {
    return false;
  }
  bool found = false;
  for_each_page([&](const void* low, const void* high) {
    found =
        found || (address >= reinterpret_cast<std::uintptr_t>(low) && address < reinterpret_cast<std::uintptr_t>(high));
  });
  return found;
}

void root_table::empty(std::uintptr_t address) noexcept {
  auto& slot = *reinterpret_cast<std::atomic<std::uintptr_t>*>(address);
  std::uintptr_t object = slot.load(std::memory_order_relaxed);
  if (!the_layout.contains(object)) return;  // it has none, or is free: the address of another one is no object
  if (gc_marking.load(std::memory_order_relaxed)) gc_barrier(reinterpret_cast<const void*>(object), nullptr);
  slot.compare_exchange_strong(object, 0, std::memory_order_relaxed);
}

root_slot* root_table::take() noexcept {
  os::spin_guard guard(lock_);
  if (free_ == nullptr && !add_page()) return nullptr;
  std::atomic<std::uintptr_t>* slot = free_;
  free_ = reinterpret_cast<std::atomic<std::uintptr_t>*>(slot->load(std::memory_order_relaxed));
  slot->store(0, std::memory_order_relaxed);
  count_.fetch_add(1, std::memory_order_relaxed);
  return reinterpret_cast<root_slot*>(slot);
}

void root_table::give(root_slot& one) noexcept {
  auto* slot = reinterpret_cast<std::atomic<std::uintptr_t>*>(&one);
  os::spin_guard guard(lock_);
  slot->store(reinterpret_cast<std::uintptr_t>(free_), std::memory_order_relaxed);
  free_ = slot;
  count_.fetch_sub(1, std::memory_order_relaxed);
}

root_table& roots() noexcept {
  static constinit root_table table;
  return table;
}

namespace {

struct part_visit {
  root_range whole;
  root_ranges* parts;
};

bool take_exclusion(root_range image) noexcept {
  os::spin_guard guard(excluded_lock);
  for (root_range& one : excluded) {
    if (one.low != nullptr) continue;
    one = image;
    return true;
  }
  return false;
}

}  // namespace

RT_GC_UNSEEN void for_each_slot_of(root_range data, void (*visit)(void* argument, std::uintptr_t slot),
                                   void* argument) noexcept {
  auto at = (reinterpret_cast<std::uintptr_t>(data.low) + sizeof(void*) - 1) & ~(sizeof(void*) - 1);
  const auto end = reinterpret_cast<std::uintptr_t>(data.high) & ~(sizeof(void*) - 1);
  for (; at < end; at += sizeof(void*)) {
    const std::uintptr_t word = *reinterpret_cast<const volatile std::uintptr_t*>(at);
    if (roots().holds(word)) visit(argument, word);
  }
}

bool exclude_from_roots(root_range image) {
  root_ranges parts;
  part_visit wanted{image, &parts};
  for_each_data_segment(
      [](void* argument, root_range one) {
        auto& to = *static_cast<part_visit*>(argument);
        if (one.low >= to.whole.low && one.low < to.whole.high) to.parts->push_back(one);
      },
      &wanted);
  if (!take_exclusion(image)) return false;
  for (const root_range& one : parts)
    for_each_slot_of(
        one, [](void*, std::uintptr_t slot) { root_table::empty(slot); }, nullptr);
  return true;
}

void include_in_roots(root_range image) noexcept {
  os::spin_guard guard(excluded_lock);
  for (root_range& one : excluded) {
    if (one.low == image.low && one.high == image.high) one = {nullptr, nullptr};
  }
}

void for_each_data_segment(void (*visit)(void* argument, root_range range), void* argument) noexcept {
  segment_visit wanted{visit, argument};
  dl_iterate_phdr(&visit_object, &wanted);
}

std::string data_place(const void* address) {
  Dl_info info;
  if (dladdr(address, &info) == 0) return "data of an unknown object";
  std::string text = "data of ";
  text += info.dli_fname != nullptr ? info.dli_fname : "?";
  if (info.dli_sname != nullptr) {
    text += " (";
    text += info.dli_sname;
    text += ")";
  }
  return text;
}

}  // namespace rt::detail
