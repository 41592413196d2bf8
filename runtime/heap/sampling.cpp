#include "runtime/heap/sampling.h"

#include <cmath>

#include "runtime/heap/heap_state.h"
#include "runtime/os/clock.h"

namespace rt::detail {

std::atomic<std::size_t> sample_rate{0};
std::atomic<sample_hook> on_sample{nullptr};

double sample_weight(std::size_t size, std::size_t rate) noexcept {
  if (rate <= 1) return 1;
  return -1 / std::expm1(-static_cast<double>(size) / static_cast<double>(rate));
}

void set_sample_rate(std::size_t rate) noexcept {
  heap_state& heap = the_heap();
  os::spin_guard owners_guard(heap.owners_lock);
  os::spin_guard outside_guard(heap.outside_lock);
  sample_rate.store(rate, std::memory_order_relaxed);
  for (heap_owner* owner = heap.owners; owner != nullptr; owner = owner->next) {
    for (allocation_cache* one = owner->first_cache(); one != nullptr; one = one->next_of_owner) {
      one->empty();
      one->forget_points();
    }
  }
}

void sample_points::begin(std::size_t rate) noexcept {
  rate_ = rate;
  if (state_ == 0) state_ = os::cycles() ^ reinterpret_cast<std::uintptr_t>(this);
  left_ = draw();
}

std::size_t sample_points::draw() noexcept {
  if (rate_ <= 1) return 0;
  // SplitMix64 (Steele, Lea, Flood 2014); the upper 53 bits as a fraction in (0, 1].
  state_ += 0x9e3779b97f4a7c15U;
  std::uint64_t word = state_;
  word = (word ^ word >> 30) * 0xbf58476d1ce4e5b9U;
  word = (word ^ word >> 27) * 0x94d049bb133111ebU;
  word ^= word >> 31;
  double fraction = static_cast<double>((word >> 11) + 1) * 0x1p-53;
  return static_cast<std::size_t>(-std::log(fraction) * static_cast<double>(rate_));
}

}  // namespace rt::detail
