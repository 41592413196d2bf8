// What rt/gc.h declares.
#include "rt/gc.h"

#include <atomic>
#include <new>

#include "runtime/gc/collector.h"
#include "runtime/gc/marker.h"
#include "runtime/gc/roots.h"

namespace rt {

namespace detail {

namespace {

std::atomic<const void*>& word_of(root_slot* slot) noexcept {
  return *reinterpret_cast<std::atomic<const void*>*>(slot);
}

void tell_barrier(const void* old_value, const void* new_value) noexcept {
  if (gc_marking.load(std::memory_order_relaxed)) [[unlikely]]
    gc_barrier(old_value, new_value);
}

}  // namespace

root_slot* new_root(const void* object) {
  root_slot* slot = roots().take();
  if (slot == nullptr) throw std::bad_alloc();
  tell_barrier(nullptr, object);
  word_of(slot).store(object, std::memory_order_relaxed);
  return slot;
}

void end_root(root_slot* slot) noexcept {
  tell_barrier(word_of(slot).load(std::memory_order_relaxed), nullptr);
  roots().give(*slot);
}

void set_root(root_slot* slot, const void* object) noexcept {
  tell_barrier(word_of(slot).load(std::memory_order_relaxed), object);
  word_of(slot).store(object, std::memory_order_relaxed);
}

const void* root_value(const root_slot* slot) noexcept {
  return word_of(const_cast<root_slot*>(slot)).load(std::memory_order_relaxed);
}

// Not to be seen by the sanitizers: in the frame of a coroutine may stand what others write at the same time.
RT_GC_UNSEEN void shade_words(const void* begin, std::size_t size) noexcept {
  auto first = (reinterpret_cast<std::uintptr_t>(begin) + sizeof(void*) - 1) & ~(sizeof(void*) - 1);
  auto end = (reinterpret_cast<std::uintptr_t>(begin) + size) & ~(sizeof(void*) - 1);
  for (std::uintptr_t at = first; at < end; at += sizeof(void*)) {
    auto word = *reinterpret_cast<const volatile std::uintptr_t*>(at);
    if (the_layout.contains(word)) gc_barrier(nullptr, reinterpret_cast<const void*>(word));
  }
}

}  // namespace detail

void gc() { detail::the_collector().collect(detail::cycle_cause::forced); }

int set_gc_percent(int percent) noexcept { return detail::the_collector().set_percent(percent); }

std::uint64_t set_memory_limit(std::uint64_t bytes) noexcept { return detail::the_collector().set_memory_limit(bytes); }

}  // namespace rt
