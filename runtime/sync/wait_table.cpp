#include "runtime/sync/wait_table.h"

#include <array>

namespace rt::detail {

// 256 buckets: collisions cost a walk over a stranger's waiters, not correctness.
static constexpr std::size_t bucket_count = 256;

wait_bucket& wait_bucket_of(const void* address) noexcept {
  static std::array<wait_bucket, bucket_count> table;
  auto word = reinterpret_cast<std::uintptr_t>(address);
  return table[(word >> 4 ^ word >> 12) % bucket_count];
}

}  // namespace rt::detail
