#include "runtime/gc/mark_check.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <vector>

#include "runtime/gc/root_walk.h"
#include "runtime/heap/heap.h"
#include "runtime/heap/heap_state.h"
#include "runtime/os/fatal.h"

namespace rt::detail {

namespace {

// How an object was come to: from a root, or from another object.
struct step {
  std::uintptr_t object;       // the begin of its slot
  std::uintptr_t from;         // the address of the word that points to it
  std::uint32_t parent;        // the object that the word stands in: its place in the list; no_parent: a root
  root_kind kind;              // of the root
  std::uint64_t green_thread;  // whose stack it is
};
constexpr std::uint32_t no_parent = UINT32_MAX;

class checker {
 public:
  RT_GC_UNSEEN void look_into(const void* low, const void* high, std::uint32_t parent, root_kind kind,
                              std::uint64_t green_thread) noexcept {
    auto at = (reinterpret_cast<std::uintptr_t>(low) + sizeof(void*) - 1) & ~(sizeof(void*) - 1);
    auto end = reinterpret_cast<std::uintptr_t>(high) & ~(sizeof(void*) - 1);
    for (; at < end; at += sizeof(void*)) {
      std::uintptr_t word = *reinterpret_cast<const volatile std::uintptr_t*>(at);
      if (the_layout.contains(word)) come_to(word, {0, at, parent, kind, green_thread});
    }
  }
  void look_into_all() noexcept {
    for (std::size_t i = 0; i < steps_.size(); ++i) {
      std::uintptr_t begin = steps_[i].object;
      const span& in = *span_of(begin);
      if (in.kind.load(std::memory_order_relaxed) == span_kind::plain) continue;
      look_into(reinterpret_cast<const void*>(begin), reinterpret_cast<const void*>(begin + in.element_size()),
                static_cast<std::uint32_t>(i), root_kind::slot, 0);
    }
  }

 private:
  void come_to(std::uintptr_t word, step way) noexcept {
    object_place found;
    if (!find_object(word, found)) return;
    std::uint64_t bit = std::uint64_t{1} << found.index % 64;
    std::atomic<std::uint64_t>& seen = found.in->collector_bits[found.index / 64];
    if ((seen.load(std::memory_order_relaxed) & bit) != 0) return;
    seen.store(seen.load(std::memory_order_relaxed) | bit, std::memory_order_relaxed);
    way.object = reinterpret_cast<std::uintptr_t>(found.begin);
    steps_.push_back(way);
    if (!found.in->is_marked(found.index)) report(found);
  }

  [[noreturn]] void report(const object_place& lost) const noexcept {
    char line[256];
    auto say = [&](int length) {
      if (length > 0) static_cast<void>(!write(STDERR_FILENO, line, static_cast<std::size_t>(length)));
    };
    say(std::snprintf(
        line, sizeof line, "gccheckmark: the object at %p (%zu bytes, kind %d) is reachable and was not marked:\n",
        static_cast<void*>(lost.begin), lost.size, static_cast<int>(lost.in->kind.load(std::memory_order_relaxed))));
    const step* at = &steps_.back();
    while (true) {
      if (at->parent == no_parent) break;
      const step& parent = steps_[at->parent];
      object_place place;
      bool known = find_object(parent.object, place);
      say(std::snprintf(line, sizeof line, "  the word at %p, in the object at %p (%zu bytes) at offset %zu, %s\n",
                        reinterpret_cast<void*>(at->from), reinterpret_cast<void*>(parent.object),
                        known ? place.size : 0, at->from - parent.object,
                        known && place.in->is_marked(place.index) ? "which is marked" : "which is not marked either"));
      at = &parent;
    }
    say(std::snprintf(line, sizeof line, "  the word at %p, in %s", reinterpret_cast<void*>(at->from),
                      to_text(at->kind)));
    say(std::snprintf(line, sizeof line, at->green_thread != 0 ? " %llu\n" : "\n",
                      static_cast<unsigned long long>(at->green_thread)));
    os::fatal(
        "gccheckmark: an object would be freed that is in use; if one of the words above was stored as a plain "
        "pointer, make it an rt::ref");
  }

  std::vector<step, os::page_allocator<step>> steps_;
};

}  // namespace

void check_no_marks() noexcept {
  for_each_span([](span& one) {
    heap_state& heap = the_heap();
    bool is_marked = false;
    for (const std::atomic<std::uint64_t>& word : one.marks) is_marked |= word.load(std::memory_order_relaxed) != 0;
    if (!is_marked && !heap.is_stale(one)) return;
    os::fatal("gccheckmark: a cycle begins with a span that %s (place %d, end %d, generation %u of %u, %zu slots)",
              heap.is_stale(one) ? "was not swept" : "has marks",
              static_cast<int>(one.place.load(std::memory_order_relaxed)),
              static_cast<int>(one.end.load(std::memory_order_relaxed)), one.generation.load(std::memory_order_relaxed),
              heap.generation.load(std::memory_order_relaxed), one.slot_count());
  });
}

void check_marks(const root_ranges& data, root_range host_stack) noexcept {
  checker all;
  for_each_root(data, host_stack, [&](const void* low, const void* high, root_kind kind, std::uint64_t green_thread) {
    all.look_into(low, high, no_parent, kind, green_thread);
  });
  all.look_into_all();
}

}  // namespace rt::detail
