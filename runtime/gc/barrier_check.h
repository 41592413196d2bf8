// RT_DEBUG=gcverifybarrier: finds what overwrites references without the write barrier.
//
// When a cycle begins, every word of the heap's objects that refers to an object is noted. When marking is over, an
// object whose note has been overwritten must have a mark: either something else refers to it, or the barrier was told
// of it when the reference went (SpiderMonkey's verifier does the same). One that has none was overwritten by code that
// stores a plain pointer where an rt::ref belongs, by memset or memcpy, or by a destructor or union, which a library
// cannot see. The collector does not depend on that half of the barrier (collector.cpp), so the program goes on; but
// the same code is likely to miss the other half, whose loss gccheckmark finds only when it happens.
//
// Words are taken for references by their value: a number that looks like an address and changes is reported as well.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "runtime/os/page_allocator.h"

namespace rt::detail {

class barrier_check {
 public:
  /// With the world stopped, after begin_mark. Takes 16 bytes for each reference in the heap.
  void note_references() noexcept;
  /// With the world stopped and marking complete. Reports on standard error, ten at most; how many there were.
  std::size_t check() noexcept;

 private:
  struct reference {
    std::uintptr_t place;  // the address of the word
    std::uintptr_t word;
  };
  void note(std::uintptr_t low, std::uintptr_t high) noexcept;

  std::vector<reference, os::page_allocator<reference>> noted_;
};

}  // namespace rt::detail
