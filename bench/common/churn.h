// What the rows of churn and of a spike do in every program: how sizes change over time, and which object goes.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bench {

/// The live bytes of a churn, and the most objects that they are: of the smallest size.
inline constexpr std::uint64_t churn_bytes = std::uint64_t{64} << 20;
inline constexpr std::uint64_t churn_most_objects = churn_bytes / 64;

/// The sizes of a churn: each phase has a range of its own, and allocates as much as is alive, so that a third of what
/// it finds stays and lies scattered among the new. All programs draw the same.
class churn_plan {
 public:
  /// Bytes of the next object of phase number `phase`: a multiple of 8.
  std::size_t size(std::uint64_t phase) noexcept {
    static constexpr std::size_t least[] = {64, 256, 1024, 128, 4096, 512};
    const std::size_t low = least[phase % (sizeof least / sizeof least[0])];
    return low + draw() % (low / 8 + 1) * 8;
  }
  /// Which of `count` objects goes.
  std::size_t index(std::size_t count) noexcept { return draw() % count; }

 private:
  // xorshift64 by George Marsaglia.
  std::uint64_t draw() noexcept {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return state_;
  }
  std::uint64_t state_ = 0x9e3779b97f4a7c15;  // any but 0
};

/// What the words at both ends of an object hold, so that one which was overwritten is found.
inline void stamp(std::uint64_t* words, std::size_t bytes) noexcept {
  words[0] = bytes;
  words[bytes / 8 - 1] = ~static_cast<std::uint64_t>(bytes);
}
inline bool is_stamped(const std::uint64_t* words, std::size_t bytes) noexcept {
  return words[0] == bytes && words[bytes / 8 - 1] == ~static_cast<std::uint64_t>(bytes);
}

/// Bytes of a block of a spike, whose number of operations is its MiB.
inline constexpr std::size_t spike_block = 1024;
inline constexpr std::size_t spike_blocks_in_mib = (std::size_t{1} << 20) / spike_block;
/// The least that counts as left of a spike: a page, since the kernel's count is none of bytes.
inline constexpr double least_left = 4096;

}  // namespace bench
