// A counter that many green threads add to at once.
#pragma once

#include <cstddef>
#include <cstdint>

namespace rt {

/// A sum with a part for each processor (P), so that adding costs one instruction on a cache line that other
/// processors leave alone. value() reads all parts: exact once those who add have ended or paused, else a sum that was
/// right for each part at some moment of the call. All members may be called from any thread and never block.
class sharded_counter {
 public:
  /// Zero. Takes 64 bytes for each CPU, rounded up to a power of two. @throws std::bad_alloc
  sharded_counter();
  ~sharded_counter();
  sharded_counter(const sharded_counter&) = delete;
  sharded_counter& operator=(const sharded_counter&) = delete;

  /// Adds `amount`, which may be negative. Wraps around as unsigned numbers do.
  void add(std::int64_t amount = 1) noexcept;
  std::int64_t value() const noexcept;

 private:
  struct shard;
  shard* shards_;
  std::size_t mask_;  // the number of shards, a power of two, less one
};

}  // namespace rt
