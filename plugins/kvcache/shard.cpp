#include "plugins/kvcache/shard.h"

#include <algorithm>
#include <atomic>
#include <charconv>
#include <mutex>

namespace kvcache {

namespace {

// Unique numbers: of all shards, so that an item that was removed and set again has another one.
std::atomic<std::uint64_t> last_version{0};

// Slots of the heap are up to an eighth larger than what is in them, and at least 16 bytes.
constexpr std::size_t slot_of(std::size_t size) noexcept { return size < 16 ? 16 : size + size / 8; }

// An entry of the map and its control byte, in a table that may have just doubled: sixteen places for seven entries.
constexpr std::size_t place_in_map = (sizeof(rt::map<rt::string, rt::ref<item>>::entry) + 1) * 16 / 7;

}  // namespace

counts& counts::operator+=(const counts& other) noexcept {
  gets += other.gets, hits += other.hits, sets += other.sets, touches += other.touches, flushes += other.flushes;
  stored += other.stored, removal_hits += other.removal_hits, removal_misses += other.removal_misses;
  increment_hits += other.increment_hits, increment_misses += other.increment_misses;
  decrement_hits += other.decrement_hits, decrement_misses += other.decrement_misses;
  cas_hits += other.cas_hits, cas_misses += other.cas_misses, cas_bad += other.cas_bad;
  touch_hits += other.touch_hits, touch_misses += other.touch_misses;
  evictions += other.evictions, expirations += other.expirations, items += other.items, bytes += other.bytes;
  return *this;
}

std::size_t shard::cost_of(std::size_t key, std::size_t value) noexcept {
  return slot_of(sizeof(item)) + slot_of(key + 1) + slot_of(value + 1) + place_in_map;
}

void shard::link_newest(item& one) noexcept {
  one.newer = nullptr;
  one.older = newest_;
  if (newest_ != nullptr) newest_->newer = &one;
  newest_ = &one;
  if (oldest_ == nullptr) oldest_ = &one;
}

void shard::unlink(item& one) noexcept {
  if (looked_at_ == &one) looked_at_ = one.newer;
  (one.newer != nullptr ? one.newer->older : newest_) = one.older.get();
  (one.older != nullptr ? one.older->newer : oldest_) = one.newer.get();
  one.newer = one.older = nullptr;
}

void shard::use(item& one) noexcept {
  if (newest_ == &one) return;
  unlink(one);
  link_newest(one);
}

void shard::drop(item& one) {
  items_.erase(one.key);
  unlink(one);
  counts_.bytes -= cost_of(one);
  counts_.items = items_.size();
}

// What time has brought about.
void shard::settle(rt::time_point now) {
  if (now < flush_at_) return;
  flush_at_ = rt::time_point::max();
  items_ = {};
  newest_ = oldest_ = looked_at_ = nullptr;
  counts_.items = counts_.bytes = 0;
}

item* shard::find(std::string_view key, rt::time_point now) {
  settle(now);
  auto known = items_.find(key);
  if (known == items_.end()) return nullptr;
  item* one = known->value;
  if (!one->has_expired(now)) return one;
  drop(*one);
  ++counts_.expirations;
  return nullptr;
}

void shard::make_room(std::size_t wanted, const item* spared) {
  while (counts_.bytes + wanted > budget_ && oldest_ != nullptr) {
    item* victim = oldest_;
    if (victim == spared) victim = victim->newer;
    if (victim == nullptr) return;
    if (victim->has_expired(rt::now())) {
      ++counts_.expirations;
    } else {
      ++counts_.evictions;
    }
    drop(*victim);
  }
}

// Everything that may fail comes first.
void shard::put(std::string_view key, const rt::string& value, std::uint32_t flags, rt::time_point expires, item* old) {
  std::size_t cost = cost_of(key.size(), value.size());
  std::size_t freed = old != nullptr ? cost_of(*old) : 0;
  if (cost > freed) make_room(cost - freed, old);
  item* one = old;
  if (one == nullptr) {
    one = rt::make<item>();
    one->key = rt::string(key);
    items_.try_emplace(one->key, one);
    link_newest(*one);
  } else {
    use(*one);
  }
  one->value = value;
  one->flags = flags;
  one->expires = expires;
  one->version = last_version.fetch_add(1, std::memory_order_relaxed) + 1;
  counts_.bytes += cost - freed;
  counts_.items = items_.size();
}

bool shard::get(std::string_view key, rt::time_point now, found& into) {
  std::lock_guard guard(lock_);
  ++counts_.gets;
  item* one = find(key, now);
  if (one == nullptr) return false;
  ++counts_.hits;
  use(*one);
  into.value = one->value;
  into.flags = one->flags;
  into.version = one->version;
  return true;
}

outcome shard::set(store_if condition, std::string_view key, std::string_view value, std::uint32_t flags,
                   rt::time_point expires, std::uint64_t version, rt::time_point now) {
  std::lock_guard guard(lock_);
  ++counts_.sets;
  item* old = find(key, now);
  switch (condition) {
    case store_if::always:
      break;
    case store_if::absent:
      if (old == nullptr) break;
      use(*old);
      return outcome::not_stored;
    case store_if::present:
      if (old != nullptr) break;
      return outcome::not_stored;
    case store_if::unchanged:
      if (old == nullptr) {
        ++counts_.cas_misses;
        return outcome::not_found;
      }
      if (old->version != version) {
        ++counts_.cas_bad;
        return outcome::exists;
      }
      ++counts_.cas_hits;
      break;
  }
  if (cost_of(key.size(), value.size()) > budget_) {
    if (old != nullptr) drop(*old);  // not to be taken for the new value
    return outcome::too_large;
  }
  put(key, rt::string(value), flags, expires, old);
  ++counts_.stored;
  return outcome::stored;
}

outcome shard::join(joining how, std::string_view key, std::string_view part, std::size_t longest, rt::time_point now) {
  std::lock_guard guard(lock_);
  ++counts_.sets;
  item* one = find(key, now);
  if (one == nullptr) return outcome::not_stored;
  rt::string joined = how == joining::behind ? one->value + part : part + one->value;
  if (joined.size() > longest || cost_of(key.size(), joined.size()) > budget_) return outcome::too_large;
  put(key, joined, one->flags, one->expires, one);
  ++counts_.stored;
  return outcome::stored;
}

outcome shard::add(std::string_view key, std::uint64_t difference, bool negative, rt::time_point now,
                   std::uint64_t& result) {
  std::lock_guard guard(lock_);
  item* one = find(key, now);
  ++(negative ? (one != nullptr ? counts_.decrement_hits : counts_.decrement_misses)
              : (one != nullptr ? counts_.increment_hits : counts_.increment_misses));
  if (one == nullptr) return outcome::not_found;
  std::uint64_t number = 0;
  auto [end, error] = std::from_chars(one->value.begin(), one->value.end(), number);
  if (error != std::errc() || end != one->value.end()) return outcome::not_a_number;
  if (negative) {
    result = number < difference ? 0 : number - difference;
  } else {
    result = number + difference;
  }
  put(key, rt::string(std::to_string(result)), one->flags, one->expires, one);
  return outcome::stored;
}

bool shard::touch(std::string_view key, rt::time_point expires, rt::time_point now) {
  std::lock_guard guard(lock_);
  ++counts_.touches;
  item* one = find(key, now);
  ++(one != nullptr ? counts_.touch_hits : counts_.touch_misses);
  if (one == nullptr) return false;
  one->expires = expires;
  use(*one);
  return true;
}

bool shard::remove(std::string_view key, rt::time_point now) {
  std::lock_guard guard(lock_);
  item* one = find(key, now);
  ++(one != nullptr ? counts_.removal_hits : counts_.removal_misses);
  if (one == nullptr) return false;
  drop(*one);
  return true;
}

void shard::flush(rt::time_point when, rt::time_point now) {
  std::lock_guard guard(lock_);
  ++counts_.flushes;
  flush_at_ = when;
  settle(now);
}

void shard::expire_some(std::size_t most, rt::time_point now) {
  std::lock_guard guard(lock_);
  settle(now);
  item* one = looked_at_ != nullptr ? looked_at_ : oldest_;
  for (; one != nullptr && most > 0; --most) {
    item* next = one->newer;
    if (one->has_expired(now)) {
      drop(*one);
      ++counts_.expirations;
    }
    one = next;
  }
  looked_at_ = one;
}

void shard::shed() {
  std::lock_guard guard(lock_);
  for (std::uint64_t wanted = counts_.bytes / 2; counts_.bytes > wanted && oldest_ != nullptr; ++counts_.evictions) {
    drop(*oldest_);
  }
}

counts shard::read_counts() {
  std::lock_guard guard(lock_);
  return counts_;
}

}  // namespace kvcache
