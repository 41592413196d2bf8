// A part of the cache: items on the collected heap, found by their keys, and in the order of their last use.
#pragma once

#include <rt/rt.h>

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace kvcache {

/// One value. It is found by its shard's map, and stands in the list of use. Its strings never change: who has one goes
/// on to read it after the item has gone.
struct item {
  rt::string key;
  rt::string value;
  std::uint32_t flags = 0;
  std::uint64_t version = 0;                       // the unique number of gets and cas
  rt::time_point expires = rt::time_point::max();  // max: never
  rt::ref<item> newer;
  rt::ref<item> older;

  bool has_expired(rt::time_point now) const noexcept { return expires <= now; }
};

/// What has happened, so far.
struct counts {
  std::uint64_t gets = 0, hits = 0, sets = 0, touches = 0, flushes = 0, stored = 0;
  std::uint64_t removal_hits = 0, removal_misses = 0, increment_hits = 0, increment_misses = 0;
  std::uint64_t decrement_hits = 0, decrement_misses = 0, cas_hits = 0, cas_misses = 0, cas_bad = 0;
  std::uint64_t touch_hits = 0, touch_misses = 0, evictions = 0, expirations = 0;
  std::uint64_t items = 0, bytes = 0;  // now

  counts& operator+=(const counts& other) noexcept;
};

enum class outcome : std::uint8_t { stored, not_stored, exists, not_found, not_a_number, too_large };

enum class store_if : std::uint8_t { always, absent, present, unchanged };
/// Where a part is put.
enum class joining : std::uint8_t { behind, before };

/// Members may be called by several green threads at once; they block only for each other.
class shard {
 public:
  /// Keeps items of `budget` bytes at most, with all that they cost.
  explicit shard(std::size_t budget) noexcept : budget_(budget) {}
  shard(const shard&) = delete;
  shard& operator=(const shard&) = delete;

  /// Found and copied: cheap, strings share their characters.
  struct found {
    rt::string value;
    std::uint32_t flags = 0;
    std::uint64_t version = 0;
  };
  /// Whether it is there; it is the last used one then.
  bool get(std::string_view key, rt::time_point now, found& into);
  /// Of `unchanged`, only if the item's unique number is `version`.
  outcome set(store_if condition, std::string_view key, std::string_view value, std::uint32_t flags,
              rt::time_point expires, std::uint64_t version, rt::time_point now);
  /// Puts `part` behind or before the value that is there.
  outcome join(joining how, std::string_view key, std::string_view part, std::size_t longest, rt::time_point now);
  /// Adds to the number that the value is; below zero it stays zero, and above 2^64 it begins again.
  outcome add(std::string_view key, std::uint64_t difference, bool negative, rt::time_point now, std::uint64_t& result);
  bool touch(std::string_view key, rt::time_point expires, rt::time_point now);
  bool remove(std::string_view key, rt::time_point now);
  /// Removes all that is there at `when`, once that has come.
  void flush(rt::time_point when, rt::time_point now);
  /// Removes expired items among the next `most` ones; it goes round.
  void expire_some(std::size_t most, rt::time_point now);
  /// Halves what is there: there is no memory.
  void shed();
  counts read_counts();

  /// What an item takes of the budget: its parts in slots of the heap, and its place in the map.
  static std::size_t cost_of(std::size_t key, std::size_t value) noexcept;

 private:
  static std::size_t cost_of(const item& one) noexcept { return cost_of(one.key.size(), one.value.size()); }
  void settle(rt::time_point now);
  item* find(std::string_view key, rt::time_point now);
  void link_newest(item& one) noexcept;
  void unlink(item& one) noexcept;
  void use(item& one) noexcept;
  void drop(item& one);
  void put(std::string_view key, const rt::string& value, std::uint32_t flags, rt::time_point expires, item* old);
  void make_room(std::size_t wanted, const item* spared);

  rt::mutex lock_;  // of all below
  const std::size_t budget_;
  rt::map<rt::string, rt::ref<item>> items_;
  rt::ref<item> newest_;
  rt::ref<item> oldest_;
  rt::ref<item> looked_at_;  // by expire_some; null: begins with the oldest
  rt::time_point flush_at_ = rt::time_point::max();
  counts counts_;
};

}  // namespace kvcache
