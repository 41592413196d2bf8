// The whole cache: its shards, and its clock.
#pragma once

#include <rt/rt.h>

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "plugins/kvcache/shard.h"

namespace kvcache {

/// Made by rt::make; lives as long as somebody refers to it.
class cache {
 public:
  /// Items take `budget` bytes at most, and each of them `largest` at most.
  cache(std::size_t budget, std::size_t largest);

  shard& of(std::string_view key) noexcept {
    return *shards_[rt::hash<std::string_view>()(key, seed_) % shards_.size()];
  }
  rt::vector<rt::ref<shard>>& shards() noexcept { return shards_; }
  counts read_counts();
  std::size_t budget() const noexcept { return budget_; }

  /// When an item ends that was given this time by a client, as memcached has it: 0 never, a negative one at once, up
  /// to 30 days in seconds from now, and anything larger as seconds since 1970.
  static rt::time_point end_of(std::int64_t time, rt::time_point now) noexcept;

 private:
  rt::vector<rt::ref<shard>> shards_;
  std::size_t budget_;
  std::uint64_t seed_;
};

}  // namespace kvcache
