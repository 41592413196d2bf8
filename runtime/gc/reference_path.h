// Why an object is not freed: a shortest path of references to it, from a root down.
//
// The search is made in the last stop of a collection, when marking is complete: everything that is reachable is known
// by its mark, and nothing moves. It goes breadth first from the roots, remembers for each object that it comes to from
// where it came, and stops at the object that is looked for. What it remembers is bounded: beyond that it gives up and
// says so. It uses the bits of gccheckmark, which the sweep that follows clears.
//
// As everywhere in the collector words are taken for references by their value: a path may lead over a number that
// looks like an address, and the report has the place of each word so that one can tell.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "runtime/gc/root_walk.h"
#include "runtime/gc/stopped_search.h"

namespace rt::detail {

/// One object on the way.
struct path_step {
  std::uintptr_t object = 0;  // the begin of its slot
  std::size_t size = 0;       // of the slot, bytes
  std::size_t offset = 0;     // of the word in it that refers to the next one
  const heap_owner* owner = nullptr;
};

struct reference_path {
  enum class outcome : std::uint8_t {
    found,
    no_object,    // at the address; `what_is_there` says what is
    unreachable,  // it is freed by the sweep
    too_large,    // more objects than may be remembered were looked at
    not_made,     // no scheduler runs, or another search is under way
  };
  outcome result = outcome::not_made;
  const char* what_is_there = nullptr;  // null: the address is not of the heap
  path_step object;                     // that was looked for; offset: of the address in it
  // Where the path begins.
  root_kind root = root_kind::slot;
  std::uintptr_t root_word = 0;    // the address of the word
  std::uint64_t green_thread = 0;  // whose stack it is, if it is one
  std::string place;               // the library and the symbol of a data segment's word
  std::vector<path_step> steps;    // from there down; without the object itself
  std::size_t looked_at = 0;       // objects
};

/// Looks for a path to the object at `address`, which may point into it. A collection is made for that, and everything
/// stands still for some nanoseconds for each word of what is reachable. Blocks; not on green threads.
/// @param most_bytes what the search may take of memory.
/// @throws std::bad_alloc
reference_path find_reference_path(std::uintptr_t address, std::size_t most_bytes);

/// The search itself, for the collector.
class path_search final : public stopped_search {
 public:
  path_search(std::uintptr_t address, std::size_t most_bytes) noexcept;
  /// Once it is done.
  reference_path result() const;

 private:
  struct found_object {
    std::uintptr_t object;
    std::uintptr_t from;         // the address of the word that refers to it
    std::uint64_t green_thread;  // of a root
    std::uint32_t parent;        // the object that the word stands in: its place in the list; no_parent: a root
    root_kind kind;              // of a root
  };
  static constexpr std::uint32_t no_parent = UINT32_MAX;

  void look(const root_ranges& data, root_range host_stack) noexcept override;
  bool look_into(const void* low, const void* high, const found_object& way) noexcept;
  bool come_to(std::uintptr_t word, const found_object& way) noexcept;

  std::uintptr_t wanted_;
  std::size_t most_;
  reference_path::outcome outcome_ = reference_path::outcome::not_made;
  const char* what_is_there_ = nullptr;
  path_step object_;
  std::vector<found_object, os::page_allocator<found_object>> found_;
};

}  // namespace rt::detail
