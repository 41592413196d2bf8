// Seeds of hash tables: one number of the process that is random, and another one for each table made from it.
#include <atomic>

#include "rt/hash.h"
#include "runtime/os/memory.h"

namespace rt::detail {

std::uint64_t new_hash_seed() noexcept {
  static const std::uint64_t of_process = [] {
    std::uint64_t bits = 0;
    os::random_bytes(&bits, sizeof bits);
    return bits;
  }();
  static std::atomic<std::uint64_t> count{0};
  std::uint64_t seed = hash_word(count.fetch_add(1, std::memory_order_relaxed), of_process);
  return seed != 0 ? seed : 1;  // 0: a map without a seed
}

}  // namespace rt::detail
