#include "runtime/gc/code_references.h"

#include <algorithm>
#include <new>

#include "runtime/gc/collector.h"
#include "runtime/gc/excluded_roots.h"
#include "runtime/heap/dead_object_search.h"
#include "runtime/heap/dead_objects.h"
#include "runtime/heap/heap.h"

namespace rt::detail {

// The linker's.
extern const char program_begin[] asm("__executable_start");
extern const char program_end[] asm("_end");

namespace {

// What the C++ library keeps in front of an exception: its type, its destructor, where it is caught. Of the ABI that
// all supported machines have.
constexpr std::size_t exception_header = 128;

RT_GC_UNSEEN std::uintptr_t word_at(std::uintptr_t place) noexcept {
  return *reinterpret_cast<const volatile std::uintptr_t*>(place);
}

bool is_of_program(std::uintptr_t address) noexcept {
  return address >= reinterpret_cast<std::uintptr_t>(program_begin) &&
         address < reinterpret_cast<std::uintptr_t>(program_end);
}

}  // namespace

void code_search::note(const code_reference& one) noexcept {
  if (count_ < most_told) told_[count_] = one;
  ++count_;
}

void code_search::look_into(const void* low, const void* high, bool code_only, const code_reference& kind) noexcept {
  auto at = (reinterpret_cast<std::uintptr_t>(low) + sizeof(void*) - 1) & ~(sizeof(void*) - 1);
  auto end = reinterpret_cast<std::uintptr_t>(high) & ~(sizeof(void*) - 1);
  for (; at < end; at += sizeof(void*)) {
    std::uintptr_t word = word_at(at);
    if (the_layout.contains(word)) {
      come_to(word);
    } else if (image_.holds(word) && (!code_only || image_.is_code(word))) {
      code_reference one = kind;
      one.at = at;
      one.to = word;
      note(one);
    }
  }
}

void code_search::come_to(std::uintptr_t word) noexcept {
  object_place place;
  // What has no mark is not reachable: a slot that the allocator still holds, or the rest of an object that was freed.
  if (!find_object(word, place) || !place.in->is_marked(place.index)) return;
  if (place.in->end.load(std::memory_order_relaxed) != span_end::none) return;  // an arena that was given up
  std::uint64_t bit = std::uint64_t{1} << place.index % 64;
  std::atomic<std::uint64_t>& seen = place.in->collector_bits[place.index / 64];
  if ((seen.load(std::memory_order_relaxed) & bit) != 0) return;
  seen.store(seen.load(std::memory_order_relaxed) | bit, std::memory_order_relaxed);
  try {
    objects_.push_back(reinterpret_cast<std::uintptr_t>(place.begin));
  } catch (const std::bad_alloc&) {
    is_complete_ = false;
  }
}

// Of those without references to others as well: a number may be the address of a function.
void code_search::look_into_objects() noexcept {
  while (!objects_.empty()) {
    code_reference kind;
    kind.where = code_reference::place::object;
    kind.object = objects_.back();
    objects_.pop_back();
    const span& in = *span_of(kind.object);
    kind.size = in.element_size();
    kind.owner = in.owner.load(std::memory_order_relaxed);
    look_into(reinterpret_cast<const void*>(kind.object), reinterpret_cast<const void*>(kind.object + kind.size), false,
              kind);
  }
}

// All that is still to come of a dead object is its destructor, which stands at the end of its slot until it is queued.
void code_search::look_at_dead(const span& in) noexcept {
  if (in.kind.load(std::memory_order_relaxed) != span_kind::destroyed ||
      in.end.load(std::memory_order_relaxed) != span_end::none) {
    return;
  }
  code_reference kind;
  kind.where = code_reference::place::dead_object;
  kind.owner = in.owner.load(std::memory_order_relaxed);
  kind.size = in.element_size();
  bool is_any_queued = false;
  for (std::size_t index = 0; index < in.slot_count(); ++index) {
    if (!in.is_allocated(index) || in.is_marked(index)) continue;
    kind.object = reinterpret_cast<std::uintptr_t>(in.is_large() ? in.begin() : in.slot(index));
    kind.at = kind.object + kind.size - sizeof(destructor);
    kind.to = word_at(kind.at);
    if (image_.holds(kind.to)) note(kind);
    is_any_queued = is_any_queued || is_destructor_due(in, index);
  }
  if (is_any_queued && kind.owner != nullptr && has_dead_object_of(*kind.owner, image_.low, image_.high)) note(kind);
}

void code_search::find_own_slots(const root_ranges& data) noexcept {
  for (const root_range& one : data) {
    if (!image_.holds(reinterpret_cast<std::uintptr_t>(one.low))) continue;
    for_each_slot_of(
        one,
        [](void* argument, std::uintptr_t slot) {
          auto& to = *static_cast<code_search*>(argument);
          try {
            to.own_slots_.push_back(slot);
          } catch (const std::bad_alloc&) {
            to.is_complete_ = false;
          }
        },
        this);
  }
  std::sort(own_slots_.begin(), own_slots_.end());
}

void code_search::look_into_slots(const void* low, const void* high, const code_reference& kind) noexcept {
  auto at = reinterpret_cast<std::uintptr_t>(low);
  const auto end = reinterpret_cast<std::uintptr_t>(high);
  for (auto own = std::lower_bound(own_slots_.begin(), own_slots_.end(), at); own != own_slots_.end() && *own < end;
       ++own) {
    look_into(reinterpret_cast<const void*>(at), reinterpret_cast<const void*>(*own), false, kind);
    at = *own + sizeof(void*);
  }
  look_into(reinterpret_cast<const void*>(at), high, false, kind);
}

void code_search::look(const root_ranges& data, root_range host_stack) noexcept {
  // gccheckmark may have used the bits in this same stop.
  for_each_span([](span& one) {
    for (std::atomic<std::uint64_t>& bits : one.collector_bits) bits.store(0, std::memory_order_relaxed);
  });
  find_own_slots(data);
  for_each_root(data, host_stack, [&](const void* low, const void* high, root_kind kind, std::uint64_t green_thread) {
    auto begin = reinterpret_cast<std::uintptr_t>(low);
    if (image_.holds(begin)) return;
    if (kind == root_kind::exception) low = static_cast<const char*>(low) - exception_header;
    code_reference found;
    found.root = kind;
    found.green_thread = green_thread;
    if (kind == root_kind::slot) return look_into_slots(low, high, found);
    // The program keeps lists of what lies in the plugin's variables (a pool), whose destructors take themselves out
    // when the plugin is unloaded.
    look_into(low, high, kind == root_kind::data && is_of_program(begin), found);
  });
  look_into_objects();
  for_each_span([&](span& in) { look_at_dead(in); });
}

code_references find_code_references(const code_image& image) {
  code_search search(image);
  if (!the_collector().search(search) || !search.is_complete()) return {};
  return {true, search.count(), {search.begin(), search.end()}};
}

}  // namespace rt::detail
