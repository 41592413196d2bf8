// Frames of coroutines that may have changed since the collector looked at them.
//
// A frame is an object of the collected heap, and a slot of the roots keeps it alive from its making to its end. So the
// collector finds and scans it as any other object, while everything runs. But the code of a coroutine stores into its
// frame whatever it likes, without a write barrier: to the collector a frame that is being written is a part of the
// stack of the green thread that writes it. Each green thread has a list of such frames, innermost first, and whoever
// scans its stack scans these with it (gc/stack_roots.cpp). In the list are
//   1. frames that are being made: the arguments are moved into them;
//   2. frames whose code runs, or has run and has called another coroutine, since the carrier took it up.
// A frame leaves the list when its coroutine has left the green thread, or has ended. Before, while the collector
// marks, all that its words refer to is shaded (sync/coroutine.cpp): what stands in the frame then is found, whether
// the collector has scanned the frame already or not, and nothing changes in it until it is in a list again.
//
// Only the green thread itself writes its list. It may be interrupted at any instruction and be looked at then, with
// the world stopped: a frame is complete before the list begins with it.
//
// Rejected: frames in memory of their own, as stacks have it, scanned at the end of marking (a pause that grows with
// their number) or by a claim for each (a second protocol beside that of park_word.h, for what the
// heap's marking does already); a write barrier in coroutines (nobody but the compiler sees its stores).
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "runtime/sched/green_thread.h"

namespace rt::detail {

struct root_slot;

/// Stands before each frame.
struct alignas(16) frame_header {
  /// A frame of at most so many bytes; a larger one is refused.
  static constexpr std::size_t largest = UINT32_MAX;
  static constexpr std::uint64_t is_frame = 0x66726d2d72746421;  // no address, and no likely number

  std::uint64_t tag;  // is_frame: for those who must tell a frame from other objects (gc/barrier_check.cpp)
  std::atomic<frame_header*> next;
  root_slot* root;
  std::size_t size;  // of the frame, in bytes

  char* frame() noexcept { return reinterpret_cast<char*>(this + 1); }
  static frame_header* of(void* frame) noexcept { return static_cast<frame_header*>(frame) - 1; }
};

/// The calling green thread's list begins with `one`, before what it began with.
inline void begin_frame_list(green_thread& self, frame_header& one, frame_header* rest) noexcept {
  one.next.store(rest, std::memory_order_relaxed);
  // Release: pairs with for_each_changed_frame, and keeps the two stores in order for one that is interrupted between.
  self.frames.store(&one, std::memory_order_release);
}
inline frame_header* first_frame(const green_thread& self) noexcept {
  return self.frames.load(std::memory_order_relaxed);
}

/// Calls `visit(low, high)` for each frame of a green thread that is at rest, or stopped.
template <class Visit>
void for_each_changed_frame(const green_thread& one, const Visit& visit) noexcept {
  frame_header* next = one.frames.load(std::memory_order_acquire);  // pairs with begin_frame_list
  for (; next != nullptr; next = next->next.load(std::memory_order_relaxed)) {
    visit(next->frame(), next->frame() + next->size);
  }
}

}  // namespace rt::detail
