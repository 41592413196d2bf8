// What a thread knows: which operations of the others happen before its own, and how far it has seen each location.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

namespace rt_model {

/// Threads of one execution, the body's own included.
inline constexpr int most_threads = 8;

/// A vector clock: of each thread, how many of its steps are known.
struct clock {
  std::array<std::uint32_t, most_threads> ticks{};

  void join(const clock& other) noexcept {
    for (int i = 0; i < most_threads; ++i) ticks[i] = std::max(ticks[i], other.ticks[i]);
  }
};

/// Of each location (by its number), the latest place in its modification order that was seen. A thread reads nothing
/// older, and its stores come later.
struct view {
  std::vector<std::uint64_t> places;

  std::uint64_t at(std::uint32_t location) const noexcept { return location < places.size() ? places[location] : 0; }
  void raise(std::uint32_t location, std::uint64_t place) {
    if (location >= places.size()) places.resize(location + 1, 0);
    places[location] = std::max(places[location], place);
  }
  void join(const view& other) {
    if (places.size() < other.places.size()) places.resize(other.places.size(), 0);
    for (std::size_t i = 0; i < other.places.size(); ++i) places[i] = std::max(places[i], other.places[i]);
  }
};

/// What an acquire learns from a release.
struct knowledge {
  clock happened;
  view seen;

  void join(const knowledge& other) {
    happened.join(other.happened);
    seen.join(other.seen);
  }
};

}  // namespace rt_model
