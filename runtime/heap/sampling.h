// Which allocations are sampled for the heap profile (rt/profile.h).
//
// Think of all bytes that a cache hands out as a line, on which points are thrown at random, one in `rate` bytes on
// average (a Poisson process). An object is sampled if a point falls on it: the chance is 1 - exp(-size / rate),
// whatever was sampled before, and so each sample stands for the inverse of that many objects (sample_weight).
//
// The fast path of an allocation knows nothing of that. When a cache carves a run and a point falls on one of its
// slots, the run ends before that slot, so that the slow path is taken for it, which carves it alone and notes the
// sample. While profiling is off a carve costs a load more.
//
// The distance to the next point is drawn anew after each one. That has no memory, so slots of a run that come back
// unused change no chances: they are carved again with other points. Only if the run had been cut short before a point,
// that point is forgotten with them (allocation_cache::let_go); else a class of which few slots are used from each of
// its runs would be sampled for all of the unused ones.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace rt::detail {

/// The default of Go's MemProfileRate, in bytes.
inline constexpr std::size_t default_sample_rate = 512 * 1024;

/// An object of `size` bytes, its slot's, has been sampled, and stands for `weight` objects like it. On the allocating
/// thread, outside of critical sections.
using sample_hook = void (*)(void* object, std::size_t size, double weight) noexcept;

/// One point in so many bytes on average; 1: every object; 0: none.
extern std::atomic<std::size_t> sample_rate;
/// Null until the profile is turned on for the first time.
extern std::atomic<sample_hook> on_sample;

/// The inverse of the chance that an object of `size` bytes is sampled.
double sample_weight(std::size_t size, std::size_t rate) noexcept;

/// Changes the rate, and has all caches begin new runs, so that it holds from the next allocation on. With the world
/// stopped, or before anything is allocated. Off the runtime's threads a run may be the last one's.
void set_sample_rate(std::size_t rate) noexcept;

/// Turns the profile on with the default rate, unless a rate was set before (observe/heap_profile.cpp). Before the
/// scheduler runs.
void start_heap_profile() noexcept;

/// The points of one cache; used as the cache is.
class sample_points {
 public:
  /// The next `bytes` are handed out: where the first point falls on them, from their begin; `bytes` if none does.
  /// After a point the line goes on behind what it fell on.
  std::size_t first_within(std::size_t bytes, std::size_t rate) noexcept {
    if (rate != rate_) begin(rate);
    if (left_ >= bytes) {
      left_ -= bytes;
      return bytes;
    }
    std::size_t point = left_;
    left_ = draw();
    return point;
  }

 private:
  void begin(std::size_t rate) noexcept;
  std::size_t draw() noexcept;

  std::size_t rate_ = 0;
  std::size_t left_ = 0;  // bytes before the next point
  std::uint64_t state_ = 0;
};

}  // namespace rt::detail
