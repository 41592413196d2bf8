// Who still refers to the code or the data of a plugin: whether it may be unloaded.
//
// The search is made in the last stop of a collection, when marking is complete, so it sees one moment: each word of
// the stacks of all green threads, of the registers of those that a signal has stopped, of the other libraries' and the
// program's data, of the exceptions that exist (with what the C++ library keeps in front of them), and of each object
// that is reachable from there. What an author would name otherwise (a timer's function, a clean-up function, a value
// of a context, a closure that waits for its start) lies in one of these. Objects that are dead but have a destructor
// of the plugin that was not called yet count too.
//
// What only the plugin's own variables refer to goes with it, by an rt::ref or by an rt::root: the slots of those are
// known by their addresses, which stand in the variables and nowhere else. When nothing else refers to the plugin, its
// variables are taken from the roots (exclude_from_roots), so that the next collection finds those objects dead, and
// their destructors are called while there is their code. A root that lies in malloc's memory may be anybody's, and
// counts as a reference.
//
// As everywhere in the collector words are taken for references by their value. So a search that finds nothing is a
// proof, as far as memory goes that is looked into; one that finds something may have met a number that looks like an
// address, or what a function that has returned left on a stack.
//
// Not looked into is malloc's memory: what the plugin had there is out of reach with its tasks, but a library that was
// given a pointer to a function and keeps it in such memory is beyond what can be seen.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "runtime/gc/root_walk.h"
#include "runtime/gc/stopped_search.h"

namespace rt::detail {

class heap_owner;

/// The memory that a library was loaded to.
struct code_image {
  std::uintptr_t low = 0;
  std::uintptr_t high = 0;
  std::uintptr_t code_low = 0;  // of it, what may be executed
  std::uintptr_t code_high = 0;
  bool holds(std::uintptr_t address) const noexcept { return address - low < high - low; }
  bool is_code(std::uintptr_t address) const noexcept { return address - code_low < code_high - code_low; }
};

/// One word that refers to an image.
struct code_reference {
  enum class place : std::uint8_t { root, object, dead_object };
  place where = place::root;
  root_kind root = root_kind::slot;  // where it is a root
  std::uint64_t green_thread = 0;    // whose stack or registers it is in
  std::uintptr_t at = 0;             // the word
  std::uintptr_t to = 0;             // what stands in it
  std::uintptr_t object = 0;         // the object that it lies in
  std::size_t size = 0;              // of that object's slot, bytes
  const heap_owner* owner = nullptr;
};

struct code_references {
  bool is_made = false;     // false: no scheduler runs, another search is under way, or there was no memory for it
  std::uint64_t count = 0;  // all of them
  std::vector<code_reference> first;
};

/// Looks for references to `image`, but for those in itself. A collection is made for that, and everything stands still
/// for some nanoseconds for each word of what is reachable. Blocks; not on green threads. @throws std::bad_alloc
code_references find_code_references(const code_image& image);

/// The search itself, for the collector.
class code_search final : public stopped_search {
 public:
  /// How many are told: enough to see whose they are.
  static constexpr std::size_t most_told = 16;

  explicit code_search(const code_image& image) noexcept : image_(image) {}
  bool is_complete() const noexcept { return is_complete_; }
  std::uint64_t count() const noexcept { return count_; }
  const code_reference* begin() const noexcept { return told_; }
  const code_reference* end() const noexcept { return told_ + (count_ < most_told ? count_ : most_told); }

 private:
  void look(const root_ranges& data, root_range host_stack) noexcept override;
  void look_into(const void* low, const void* high, bool code_only, const code_reference& kind) noexcept;
  void come_to(std::uintptr_t word) noexcept;
  void look_into_objects() noexcept;
  void look_at_dead(const span& in) noexcept;
  void find_own_slots(const root_ranges& data) noexcept;
  void look_into_slots(const void* low, const void* high, const code_reference& kind) noexcept;
  void note(const code_reference& one) noexcept;

  const code_image image_;
  bool is_complete_ = true;
  std::uint64_t count_ = 0;
  code_reference told_[most_told];
  // Slots of the roots among the image's variables, sorted.
  std::vector<std::uintptr_t, os::page_allocator<std::uintptr_t>> own_slots_;
  std::vector<std::uintptr_t, os::page_allocator<std::uintptr_t>> objects_;  // that were come to
};

}  // namespace rt::detail
