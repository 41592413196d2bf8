#include "plugins/kvcache/cache.h"

#include <algorithm>
#include <bit>
#include <chrono>
#include <random>

namespace kvcache {

namespace {

// So many parts that few green threads wait for each other, and so few that the largest items fit some times into each.
constexpr std::size_t most_shards = 16;
constexpr std::size_t largest_in_shard = 4;

constexpr std::int64_t longest_relative_time = 60LL * 60 * 24 * 30;  // seconds: memcached's

}  // namespace

cache::cache(std::size_t budget, std::size_t largest) : budget_(budget), seed_(std::random_device()()) {
  std::size_t fit = budget / (largest_in_shard * shard::cost_of(250, largest));
  std::size_t count = std::bit_floor(std::clamp<std::size_t>(fit, 1, most_shards));
  for (std::size_t i = 0; i < count; ++i) shards_.emplace_back(rt::make<shard>(budget / count));
}

counts cache::read_counts() {
  counts all;
  for (shard* one : shards_) all += one->read_counts();
  return all;
}

rt::time_point cache::end_of(std::int64_t time, rt::time_point now) noexcept {
  constexpr std::int64_t beyond_all = 60LL * 60 * 24 * 365 * 100;
  if (time == 0) return rt::time_point::max();
  if (time > longest_relative_time) {
    auto today = std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch());
    time -= today.count();
  }
  if (time <= 0) return now;
  if (time > beyond_all) return rt::time_point::max();
  return now + std::chrono::seconds(time);
}

}  // namespace kvcache
