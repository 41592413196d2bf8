// All poll descriptors of the process: handed out, taken back, never freed.
//
// An event carries the number of its descriptor and the generation of its use, not a pointer: the number always leads
// to a descriptor, and a generation that differs says that the event is for an earlier socket. The descriptors lie in
// segments of growing size, so that finding one by its number takes no lock and they never move.
#pragma once

#include <atomic>
#include <bit>
#include <cstdint>

#include "runtime/net/poll_descriptor.h"
#include "runtime/os/spin_lock.h"

namespace rt::net::detail {

class descriptor_table {
 public:
  constexpr descriptor_table() = default;
  descriptor_table(const descriptor_table&) = delete;
  descriptor_table& operator=(const descriptor_table&) = delete;

  /// A descriptor in its first state. Throws std::bad_alloc. Any thread may call it.
  poll_descriptor& acquire();
  /// Takes it back. No green thread may wait on it any more. Any thread may call it.
  void release(poll_descriptor& one) noexcept;

  /// The descriptor that an event with this tag is for; null when its use has ended. No lock.
  poll_descriptor* find(std::uint64_t tag) const noexcept {
    poll_descriptor* one = at(static_cast<std::uint32_t>(tag));
    if (one == nullptr || one->tag() != tag) return nullptr;
    return one;
  }
  /// How many are handed out.
  std::uint64_t in_use() const noexcept { return in_use_.load(std::memory_order_relaxed); }

 private:
  static constexpr std::uint32_t first_segment = 64;
  static constexpr int segment_count = 26;  // 2^32 descriptors with the last

  /// Segment k has first_segment << k descriptors.
  static int segment_of(std::uint32_t index) noexcept {
    return static_cast<int>(std::bit_width(index / first_segment + 1)) - 1;
  }
  static std::uint32_t start_of(int segment) noexcept { return first_segment * ((1U << segment) - 1); }
  poll_descriptor* at(std::uint32_t index) const noexcept {
    int segment = segment_of(index);
    if (segment >= segment_count) return nullptr;
    poll_descriptor* base = segments_[segment].load(std::memory_order_acquire);  // pairs with acquire's store
    return base == nullptr ? nullptr : base + (index - start_of(segment));
  }

  os::spin_lock lock_{os::lock_rank::poll};
  poll_descriptor* free_ RT_GUARDED_BY(lock_) = nullptr;
  int segments_made_ RT_GUARDED_BY(lock_) = 0;
  std::atomic<std::uint64_t> in_use_{0};
  std::atomic<poll_descriptor*> segments_[segment_count]{};
};

/// The table of the process. It has no destructor to run, so sockets in static storage may outlive everything.
descriptor_table& shared_descriptors() noexcept;

}  // namespace rt::net::detail
