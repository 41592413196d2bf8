// Hash functions for rt::map.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <string_view>
#include <type_traits>

namespace rt {

namespace detail {

/// A number that nobody outside of the process can know: for each map another one.
std::uint64_t new_hash_seed() noexcept;

// Odd, with as many ones as zeros, without regularity: digits of pi.
inline constexpr std::uint64_t hash_factors[] = {0x243f6a8885a308d3, 0x13198a2e03707345, 0xa4093822299f31d1};

/// Both halves of the product of two numbers, folded: each bit of the result depends on all of theirs.
inline std::uint64_t fold_product(std::uint64_t a, std::uint64_t b) noexcept {
  __extension__ using wide = unsigned __int128;
  wide product = static_cast<wide>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

inline std::uint64_t hash_word(std::uint64_t word, std::uint64_t seed) noexcept {
  return fold_product(fold_product(word ^ seed, hash_factors[0]) ^ seed, hash_factors[1]);
}

/// After wyhash (Wang Yi): pairs of words are folded into the state.
inline std::uint64_t hash_bytes(const char* text, std::size_t size, std::uint64_t seed) noexcept {
  auto word_at = [](const char* at) {
    std::uint64_t word;
    std::memcpy(&word, at, sizeof word);
    return word;
  };
  std::uint64_t state = seed ^ fold_product(size ^ hash_factors[2], seed ^ hash_factors[0]);
  std::size_t left = size;
  for (; left > 16; left -= 16, text += 16) {
    state = fold_product(word_at(text) ^ hash_factors[0], word_at(text + 8) ^ state);
  }
  char rest[16] = {};
  if (left != 0) std::memcpy(rest, text, left);
  return fold_product(fold_product(word_at(rest) ^ hash_factors[1], word_at(rest + 8) ^ state) ^ seed, hash_factors[2]);
}

}  // namespace detail

/// How rt::map hashes a T: `hash<T>()(value, seed)`. Of a type of your own it uses std::hash; better write a
/// specialisation. Equal values must have equal hashes for each seed.
template <class T>
struct hash {
  std::uint64_t operator()(const T& value, std::uint64_t seed) const
      noexcept(std::is_nothrow_invocable_v<std::hash<T>, const T&>) {
    return detail::hash_word(std::hash<T>()(value), seed);
  }
};

/// Strings of all kinds are hashed by their contents, so that one kind finds what another one has put there.
template <>
struct hash<std::string_view> {
  std::uint64_t operator()(std::string_view text, std::uint64_t seed) const noexcept {
    return detail::hash_bytes(text.data(), text.size(), seed);
  }
};
template <>
struct hash<std::string> : hash<std::string_view> {};

}  // namespace rt
