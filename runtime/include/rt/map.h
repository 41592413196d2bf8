// Hash maps on the collected heap.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <initializer_list>
#include <iterator>
#include <new>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "rt/hash.h"
#include "rt/make.h"
#include "rt/ref.h"

namespace rt {

namespace detail {

/// The control bytes of eight places, looked at at once. A byte is empty, erased, or the seven low bits of the hash of
/// the key that stands in the place.
class map_group {
 public:
  static constexpr std::size_t width = 8;
  static constexpr std::uint8_t empty = 0x80;
  static constexpr std::uint8_t erased = 0xfe;

  explicit map_group(const std::uint8_t* control) noexcept {
    std::memcpy(&word_, control, sizeof word_);
    if constexpr (std::endian::native == std::endian::big) word_ = __builtin_bswap64(word_);
  }

  /// A set of places: the highest bit of the byte of each.
  class places {
   public:
    explicit places(std::uint64_t bits) noexcept : bits_(bits) {}
    explicit operator bool() const noexcept { return bits_ != 0; }
    std::size_t first() const noexcept { return static_cast<std::size_t>(std::countr_zero(bits_)) / 8; }
    void remove_first() noexcept { bits_ &= bits_ - 1; }

   private:
    std::uint64_t bits_;
  };
  /// Those with this byte, and rarely another one: keys are compared anyway.
  places with(std::uint8_t byte) const noexcept {
    std::uint64_t difference = word_ ^ low_bits * byte;
    return places((difference - low_bits) & ~difference & high_bits);
  }
  places without_key() const noexcept { return places(word_ & high_bits); }
  places with_key() const noexcept { return places(~word_ & high_bits); }
  places that_are_empty() const noexcept { return places(word_ & ~(word_ << 6) & high_bits); }

 private:
  static constexpr std::uint64_t low_bits = 0x0101010101010101;
  static constexpr std::uint64_t high_bits = 0x8080808080808080;
  std::uint64_t word_;
};

}  // namespace detail

/// A hash map with its entries on the collected heap; keys and values may be or contain rt::ref, rt::string, rt::vector
/// and rt::map. The table is one of open addressing in groups of eight places (a "Swiss table", as Go's): a look-up
/// reads eight bytes of hashes, and then most often one key. The seed of the hashes is another one in each map and
/// process, so nobody can choose keys that collide.
///
/// It stands wherever an rt::ref may, and not in memory of malloc; keys and values must need no destruction: see
/// rt::vector. Copies copy the entries.
///
/// A map of rt::string is searched by std::string_view, and in general one of K by whatever Hash and Equal take beside
/// a K and treat alike.
///
/// Iteration is in no particular order. Erasing entries while iterating, the current one as well, is allowed: those
/// that have not been reached do not come. An entry that is added meanwhile may come or not. When the map grows for it,
/// iterators and pointers to entries go on in the old table, which is good memory, but shows no later changes.
///
/// Growth doubles the table when seven of eight places are taken, and moves all entries: the cost of an insertion is
/// constant on average, that of one of them proportional to the size. Different green threads may read one map at once
/// while none changes it.
///
/// Hash: hash(key, seed) (rt::hash); Equal: equal(a, b). Members that add allocate (see rt::make), and throw
/// std::bad_alloc or std::length_error. When an allocation, a hash, a comparison or a constructor throws, nothing has
/// changed.
template <class K, class V, class Hash = hash<K>, class Equal = std::equal_to<>>
class map {
  static_assert(std::is_trivially_destructible_v<K> && std::is_trivially_destructible_v<V>,
                "entries on the collected heap are not destroyed: use rt::string instead of std::string, and an "
                "rt::ref to objects with destructors");

 public:
  struct entry {
    const K key;
    V value;
  };
  using key_type = K;
  using mapped_type = V;
  using value_type = entry;
  using size_type = std::size_t;

  template <class Entry>
  class basic_iterator {
   public:
    using iterator_category = std::forward_iterator_tag;
    using value_type = map::entry;
    using difference_type = std::ptrdiff_t;
    using pointer = Entry*;
    using reference = Entry&;

    basic_iterator() noexcept = default;
    template <class Other>
      requires(std::is_same_v<const Other, Entry> && !std::is_same_v<Other, Entry>)
    explicit(false) basic_iterator(const basic_iterator<Other>& other) noexcept
        : basic_iterator(other.control_, other.entries_, other.at_, other.end_) {}
    Entry& operator*() const noexcept { return entries_[at_]; }
    Entry* operator->() const noexcept { return entries_ + at_; }
    basic_iterator& operator++() noexcept {
      ++at_;
      skip();
      return *this;
    }
    basic_iterator operator++(int) noexcept {
      basic_iterator before = *this;
      ++*this;
      return before;
    }
    friend bool operator==(const basic_iterator& a, const basic_iterator& b) noexcept {
      if (a.at_ == a.end_ || b.at_ == b.end_) return a.at_ == a.end_ && b.at_ == b.end_;
      return a.at_ == b.at_ && a.control_ == b.control_;
    }

   private:
    friend map;
    template <class>
    friend class basic_iterator;
    basic_iterator(const std::uint8_t* control, Entry* entries, std::size_t at, std::size_t end) noexcept
        : control_(control), entries_(entries), at_(at), end_(end) {}
    void skip() noexcept {
      while (at_ < end_ && (control_[at_] & detail::map_group::empty) != 0) ++at_;
    }

    const std::uint8_t* control_ = nullptr;
    Entry* entries_ = nullptr;
    std::size_t at_ = 0;
    std::size_t end_ = 0;
  };
  using iterator = basic_iterator<entry>;
  using const_iterator = basic_iterator<const entry>;

  map() noexcept = default;
  map(std::initializer_list<entry> entries) {
    reserve(entries.size());
    for (const entry& one : entries) try_emplace(one.key, one.value);
  }
  map(const map& other) {
    reserve(other.size());
    for (const entry& one : other) try_emplace(one.key, one.value);
  }
  map(map&& other) noexcept { swap(other); }
  ~map() = default;
  map& operator=(const map& other) {
    if (this != &other) *this = map(other);
    return *this;
  }
  map& operator=(map&& other) noexcept {
    if (this == &other) return *this;
    map empty;
    swap(empty);
    swap(other);
    return *this;
  }

  size_type size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }
  /// How many entries it has room for without growing.
  size_type capacity() const noexcept { return most_used(places_); }

  iterator begin() noexcept { return first<iterator>(entries_.get()); }
  iterator end() noexcept { return {nullptr, nullptr, places_, places_}; }
  const_iterator begin() const noexcept { return first<const_iterator>(entries_.get()); }
  const_iterator end() const noexcept { return {nullptr, nullptr, places_, places_}; }

  template <class Key = K>
  iterator find(const Key& key) {
    std::size_t at = place_of(key);
    return {control_.get(), entries_.get(), at, places_};
  }
  template <class Key = K>
  const_iterator find(const Key& key) const {
    std::size_t at = place_of(key);
    return {control_.get(), entries_.get(), at, places_};
  }
  template <class Key = K>
  bool contains(const Key& key) const {
    return place_of(key) != places_;
  }
  /// @throws std::out_of_range when there is no such key
  template <class Key = K>
  V& at(const Key& key) {
    return entries_.get()[require(key)].value;
  }
  template <class Key = K>
  const V& at(const Key& key) const {
    return entries_.get()[require(key)].value;
  }
  /// The value of the key; V() is put there first if there is none.
  template <class Key = K>
  V& operator[](const Key& key) {
    return try_emplace(key).first->value;
  }

  /// Puts V(arguments…) there unless the key is there; where it stands, and whether it is new.
  template <class Key = K, class... Arguments>
  std::pair<iterator, bool> try_emplace(const Key& key, Arguments&&... arguments) {
    if (places_ == 0) make_room();  // the seed comes with the first table
    std::uint64_t hashed = hash_of(key);
    if (std::size_t known = search(key, hashed); known != places_) return {iterator_at(known), false};
    // Before there may be another table: the key or an argument may lie in this one, which stays good.
    make_room();
    std::size_t at = free_place(hashed);
    construct(entries_.get() + at, key, std::forward<Arguments>(arguments)...);
    take_place(at, hashed);
    ++size_;
    return {iterator_at(at), true};
  }
  std::pair<iterator, bool> insert(const entry& one) { return try_emplace(one.key, one.value); }
  /// Puts the value there, new or instead of the old one.
  template <class Key = K, class Value = V>
  std::pair<iterator, bool> insert_or_assign(const Key& key, Value&& value) {
    std::size_t known = place_of(key);
    if (known == places_) return try_emplace(key, std::forward<Value>(value));
    entries_.get()[known].value = std::forward<Value>(value);
    return {iterator_at(known), false};
  }

  /// How many: 0 or 1.
  template <class Key = K>
    requires(!std::is_same_v<Key, iterator>)
  size_type erase(const Key& key) {
    std::size_t at = place_of(key);
    if (at == places_) return 0;
    erase_at(at);
    return 1;
  }
  /// The iterator after it.
  iterator erase(iterator one) {
    iterator next = std::next(one);
    if (one.control_ == control_.get()) {
      erase_at(one.at_);
    } else {
      erase(one->key);  // the map has grown meanwhile
    }
    return next;
  }
  /// Erases all entries for which `condition(entry)`; how many.
  template <class Condition>
  friend size_type erase_if(map& from, Condition condition) {
    size_type before = from.size_;
    for (iterator one = from.begin(); one != from.end();) {
      if (condition(*one)) {
        one = from.erase(one);
      } else {
        ++one;
      }
    }
    return before - from.size_;
  }
  /// The memory stays.
  void clear() noexcept {
    if (places_ == 0) return;
    std::memset(control_.get(), group::empty, places_);
    forget(entries_.get(), places_);
    size_ = 0;
    left_ = most_used(places_);
  }
  /// Room for `count` entries in all.
  void reserve(size_type count) {
    if (count > size_ + left_) rebuild(places_for(count));
  }

  void swap(map& other) noexcept {
    using std::swap;
    swap(control_, other.control_);
    swap(entries_, other.entries_);
    swap(places_, other.places_);
    swap(size_, other.size_);
    swap(left_, other.left_);
    swap(seed_, other.seed_);
  }
  friend void swap(map& a, map& b) noexcept { a.swap(b); }
  /// Whether both have the same keys with equal values.
  friend bool operator==(const map& a, const map& b) {
    if (a.size_ != b.size_) return false;
    for (const entry& one : a) {
      auto other = b.find(one.key);
      if (other == b.end() || !(other->value == one.value)) return false;
    }
    return true;
  }

 private:
  using group = detail::map_group;
  static constexpr detail::span_kind entry_kind =
      noscan<K> && noscan<V> ? detail::span_kind::plain : detail::span_kind::scanned;

  // How many places may be taken or erased: at least one is empty, where every search ends.
  static constexpr std::size_t most_used(std::size_t places) noexcept { return places / 8 * 7; }
  static std::size_t places_for(std::size_t entries) {
    constexpr std::size_t most = PTRDIFF_MAX / (sizeof(entry) + 1) / 4;
    if (entries > most) throw std::length_error("rt::map: more entries than memory has");
    std::size_t places = group::width;
    while (most_used(places) < entries) places *= 2;
    return places;
  }

  template <class Key>
  std::uint64_t hash_of(const Key& key) const {
    return Hash()(key, seed_);
  }
  static std::uint8_t low_part(std::uint64_t hashed) noexcept { return static_cast<std::uint8_t>(hashed & 0x7f); }

  // The groups in the order in which they are searched: all of them, with growing steps.
  class probe {
   public:
    probe(std::uint64_t hashed, std::size_t places) noexcept
        : mask_(places / group::width - 1), at_((hashed >> 7) & mask_) {}
    std::size_t place() const noexcept { return at_ * group::width; }
    void next() noexcept { at_ = (at_ + ++step_) & mask_; }

   private:
    std::size_t mask_;
    std::size_t at_;
    std::size_t step_ = 0;
  };

  template <class Key>
  std::size_t place_of(const Key& key) const {
    return places_ == 0 ? 0 : search(key, hash_of(key));
  }
  // places_ when it is not there.
  template <class Key>
  std::size_t search(const Key& key, std::uint64_t hashed) const {
    if (places_ == 0) return 0;
    const std::uint8_t* control = control_.get();
    const entry* entries = entries_.get();
    for (probe now(hashed, places_);; now.next()) {
      group here(control + now.place());
      for (group::places some = here.with(low_part(hashed)); some; some.remove_first()) {
        std::size_t at = now.place() + some.first();
        if (Equal()(entries[at].key, key)) [[likely]]
          return at;
      }
      if (here.that_are_empty()) return places_;
    }
  }
  template <class Key>
  std::size_t require(const Key& key) const {
    std::size_t at = place_of(key);
    if (at == places_) throw std::out_of_range("rt::map::at: there is no such key");
    return at;
  }
  template <class Iterator, class Entry>
  Iterator first(Entry* entries) const noexcept {
    Iterator one(control_.get(), entries, 0, places_);
    one.skip();
    return one;
  }
  iterator iterator_at(std::size_t at) noexcept { return {control_.get(), entries_.get(), at, places_}; }

  static std::size_t free_place_in(const std::uint8_t* control, std::size_t places, std::uint64_t hashed) noexcept {
    for (probe now(hashed, places);; now.next()) {
      if (group::places some = group(control + now.place()).without_key(); some) return now.place() + some.first();
    }
  }
  std::size_t free_place(std::uint64_t hashed) const noexcept { return free_place_in(control_.get(), places_, hashed); }
  template <class Key, class... Arguments>
  static void construct(entry* at, const Key& key, Arguments&&... arguments) {
    if constexpr (std::is_constructible_v<V, Arguments...>) {
      ::new (static_cast<void*>(at)) entry{K(key), V(std::forward<Arguments>(arguments)...)};
    } else {
      ::new (static_cast<void*>(at)) entry{K(key), V{std::forward<Arguments>(arguments)...}};
    }
  }
  void take_place(std::size_t at, std::uint64_t hashed) noexcept {
    std::uint8_t& control = control_.get()[at];
    if (control == group::empty) --left_;
    control = low_part(hashed);
  }
  // What is no entry any more keeps nothing alive (see detail::forget_elements of rt/vector.h).
  static void forget(entry* first, std::size_t count) noexcept {
    if constexpr (entry_kind != detail::span_kind::plain) {
      std::memset(static_cast<void*>(first), 0, count * sizeof(entry));
    }
  }
  void erase_at(std::size_t at) noexcept {
    std::uint8_t* control = control_.get();
    // No search has ever gone on behind a group that has an empty place.
    if (group(control + at / group::width * group::width).that_are_empty()) {
      control[at] = group::empty;
      ++left_;
    } else {
      control[at] = group::erased;
    }
    forget(entries_.get() + at, 1);
    --size_;
  }

  void make_room() {
    if (left_ != 0) return;
    // With many erased places among them a table of the same size will do.
    if (places_ == 0) {
      rebuild(group::width);
    } else {
      rebuild(size_ <= most_used(places_) / 2 ? places_ : places_ * 2);
    }
  }
  void rebuild(std::size_t places) {
    static_assert(alignof(entry) <= 4096, "the collected heap aligns to 4096 bytes at most");
    auto* control =
        static_cast<std::uint8_t*>(detail::allocate(places, alignof(std::uint64_t), detail::span_kind::plain));
    detail::open_to_use(control, places);
    // One byte more, so that a pointer to the end points into it.
    auto* entries = static_cast<entry*>(detail::allocate(places * sizeof(entry) + 1, alignof(entry), entry_kind));
    detail::open_to_use(entries, places * sizeof(entry) + 1);
    std::memset(control, group::empty, places);
    std::uint64_t seed = seed_ != 0 ? seed_ : detail::new_hash_seed();
    for (entry& one : *this) {
      std::uint64_t hashed = Hash()(one.key, seed);
      std::size_t at = free_place_in(control, places, hashed);
      // A move that is followed by a hash that throws could not be taken back.
      if constexpr (std::is_nothrow_move_constructible_v<V>&& noexcept(Hash()(one.key, seed)) &&
                    std::is_nothrow_copy_constructible_v<K>) {
        ::new (static_cast<void*>(entries + at)) entry{K(one.key), V(std::move(one.value))};
      } else {
        ::new (static_cast<void*>(entries + at)) entry{K(one.key), V(one.value)};
      }
      control[at] = low_part(hashed);
    }
    control_ = control;
    entries_ = entries;
    places_ = places;
    left_ = most_used(places) - size_;
    seed_ = seed;
  }

  ref<std::uint8_t> control_;
  ref<entry> entries_;
  std::size_t places_ = 0;  // a power of two, or none
  std::size_t size_ = 0;
  std::size_t left_ = 0;  // empty places that may be taken before the table grows
  std::uint64_t seed_ = 0;
};

}  // namespace rt
