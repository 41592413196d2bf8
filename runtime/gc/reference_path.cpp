#include "runtime/gc/reference_path.h"

#include <algorithm>
#include <new>

#include "runtime/gc/collector.h"
#include "runtime/heap/heap.h"

namespace rt::detail {

path_search::path_search(std::uintptr_t address, std::size_t most_bytes) noexcept
    : wanted_(address), most_(std::min<std::size_t>(most_bytes / sizeof(found_object), no_parent - 1)) {}

// True when the search is over.
RT_GC_UNSEEN bool path_search::look_into(const void* low, const void* high, const found_object& way) noexcept {
  auto at = (reinterpret_cast<std::uintptr_t>(low) + sizeof(void*) - 1) & ~(sizeof(void*) - 1);
  auto end = reinterpret_cast<std::uintptr_t>(high) & ~(sizeof(void*) - 1);
  for (; at < end; at += sizeof(void*)) {
    std::uintptr_t word = *reinterpret_cast<const volatile std::uintptr_t*>(at);
    if (!the_layout.contains(word)) continue;
    found_object one = way;
    one.from = at;
    if (come_to(word, one)) return true;
  }
  return false;
}

bool path_search::come_to(std::uintptr_t word, const found_object& way) noexcept {
  object_place place;
  // What has no mark is not reachable: a slot that the allocator still holds, or the rest of an object that was freed.
  if (!find_object(word, place) || !place.in->is_marked(place.index)) return false;
  std::uint64_t bit = std::uint64_t{1} << place.index % 64;
  std::atomic<std::uint64_t>& seen = place.in->collector_bits[place.index / 64];
  if ((seen.load(std::memory_order_relaxed) & bit) != 0) return false;
  seen.store(seen.load(std::memory_order_relaxed) | bit, std::memory_order_relaxed);
  found_object one = way;
  one.object = reinterpret_cast<std::uintptr_t>(place.begin);
  bool is_it = one.object == object_.object;
  // The object itself always has a place.
  if (found_.size() >= most_ && !is_it) {
    outcome_ = reference_path::outcome::too_large;
    return true;
  }
  try {
    found_.push_back(one);
  } catch (const std::bad_alloc&) {
    outcome_ = reference_path::outcome::too_large;
    return true;
  }
  if (is_it) outcome_ = reference_path::outcome::found;
  return is_it;
}

void path_search::look(const root_ranges& data, root_range host_stack) noexcept {
  object_place place;
  if (!find_object(wanted_, place) || place.in->end.load(std::memory_order_relaxed) != span_end::none) {
    outcome_ = reference_path::outcome::no_object;
    what_is_there_ = describe_heap_address(wanted_);
    return;
  }
  object_ = {reinterpret_cast<std::uintptr_t>(place.begin), place.size,
             wanted_ - reinterpret_cast<std::uintptr_t>(place.begin), place.in->owner.load(std::memory_order_relaxed)};
  outcome_ = reference_path::outcome::unreachable;
  // gccheckmark may have used the bits in this same stop.
  for_each_span([](span& one) {
    for (std::atomic<std::uint64_t>& bits : one.collector_bits) bits.store(0, std::memory_order_relaxed);
  });
  bool over = false;
  for_each_root(data, host_stack, [&](const void* low, const void* high, root_kind kind, std::uint64_t green_thread) {
    over = over || look_into(low, high, {0, 0, green_thread, no_parent, kind});
  });
  for (std::size_t i = 0; i < found_.size() && !over; ++i) {
    std::uintptr_t begin = found_[i].object;
    const span& in = *span_of(begin);
    if (in.kind.load(std::memory_order_relaxed) == span_kind::plain) continue;
    over = look_into(reinterpret_cast<const void*>(begin), reinterpret_cast<const void*>(begin + in.element_size()),
                     {0, 0, 0, static_cast<std::uint32_t>(i), root_kind::slot});
  }
}

reference_path path_search::result() const {
  reference_path path;
  path.result = outcome_;
  path.what_is_there = what_is_there_;
  path.object = object_;
  path.looked_at = found_.size();
  if (outcome_ != reference_path::outcome::found) return path;
  const found_object* at = &found_.back();
  while (at->parent != no_parent) {
    const found_object& parent = found_[at->parent];
    // The sweep may have begun; but what is on the path is in use.
    const span* in = span_of(parent.object);
    path.steps.push_back({parent.object, in == nullptr ? 0 : in->element_size(), at->from - parent.object,
                          in == nullptr ? nullptr : in->owner.load(std::memory_order_relaxed)});
    at = &parent;
  }
  std::reverse(path.steps.begin(), path.steps.end());
  path.root = at->kind;
  path.root_word = at->from;
  path.green_thread = at->green_thread;
  if (at->kind == root_kind::data) path.place = data_place(reinterpret_cast<const void*>(at->from));
  return path;
}

reference_path find_reference_path(std::uintptr_t address, std::size_t most_bytes) {
  path_search search(address, most_bytes);
  if (!the_collector().search(search)) return {};
  return search.result();
}

}  // namespace rt::detail
