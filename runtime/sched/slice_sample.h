// Histograms of how long green threads wait in run queues, and of how long they then stay on the CPU.
//
// One wake-up in 64 is measured, of yields up to one in 1024: reading the cycle counter costs more than a switch. The
// end of a wait is the beginning of a slice, so a slice costs one more read, at the decision that ends it. The fast
// path has no branch of its own for that: it looks at the counter every 16th or so decision anyway
// (processor::check_mask), and while a slice is measured, the mask is 0, which makes it look at the next one.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

namespace rt::detail {

/// The buckets of the histograms: upper bounds in ns are 1000 * 4^i, the last bucket is overflow.
inline constexpr int duration_buckets = 12;

/// Written by the owner of a P only, with plain stores.
struct duration_histogram {
  std::array<std::atomic<std::uint64_t>, duration_buckets> counts{};
  std::atomic<std::uint64_t> nanoseconds{0};

  void add(std::uint64_t length) noexcept {
    std::size_t bucket = 0;
    for (std::uint64_t bound = 1000; bucket < duration_buckets - 1 && length > bound; bound *= 4) ++bucket;
    counts[bucket].store(counts[bucket].load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    nanoseconds.store(nanoseconds.load(std::memory_order_relaxed) + length, std::memory_order_relaxed);
  }
};

/// The slice that is being measured on a P.
class slice_sample {
 public:
  bool is_open() const noexcept { return since_ != 0; }
  /// `mask` is set to 0 until close().
  void open(std::uint64_t now, std::uint32_t& mask) noexcept {
    if (since_ != 0) return;
    since_ = now;
    usual_mask_ = mask;
    mask = 0;
  }
  /// How many cycles it took.
  std::uint64_t close(std::uint64_t now, std::uint32_t& mask) noexcept {
    std::uint64_t length = now > since_ ? now - since_ : 0;
    since_ = 0;
    mask = usual_mask_;
    return length;
  }

 private:
  std::uint64_t since_ = 0;  // os::cycles(), 0: none
  std::uint32_t usual_mask_ = 0;
};

}  // namespace rt::detail
