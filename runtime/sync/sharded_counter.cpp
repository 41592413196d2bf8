#include "rt/sharded_counter.h"

#include <atomic>

#include "runtime/sync/shards.h"

namespace rt {

// Additions are atomic although the lines belong to Ps: a kernel thread may lose its P between two instructions.
struct alignas(64) sharded_counter::shard {
  std::atomic<std::uint64_t> sum{0};
};

sharded_counter::sharded_counter() : shards_(nullptr), mask_(detail::shard_count() - 1) {
  shards_ = new shard[mask_ + 1];
}

sharded_counter::~sharded_counter() { delete[] shards_; }

void sharded_counter::add(std::int64_t amount) noexcept {
  // Relaxed: who is told that the adding has ended is told by other means, which order it before value().
  shards_[detail::shard_of_caller(mask_)].sum.fetch_add(static_cast<std::uint64_t>(amount), std::memory_order_relaxed);
}

std::int64_t sharded_counter::value() const noexcept {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i <= mask_; ++i) sum += shards_[i].sum.load(std::memory_order_relaxed);
  return static_cast<std::int64_t>(sum);
}

}  // namespace rt
