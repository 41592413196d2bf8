// Elements whose contents tell whether they are what was put into a container.
#pragma once

#include <cstdint>
#include <random>

#include "rt/rt.h"

namespace rt_test {

/// An object of the collected heap that is known by its number.
struct boxed {
  static constexpr std::uint64_t salt = 0x9e3779b97f4a7c15;
  explicit boxed(std::uint64_t number) : value(number), check(number * salt) {}
  bool is_intact() const { return check == value * salt; }
  std::uint64_t value;
  std::uint64_t check;
};

/// The number of what `one` refers to; a wrong one if it has been lost.
inline std::uint64_t number_in(const rt::ref<boxed>& one) {
  return one != nullptr && one->is_intact() ? one->value : UINT64_MAX;
}

/// Collects at every some-th step of a test, beside those that the runtime begins itself.
class collections {
 public:
  explicit collections(std::uint64_t every) : every_(every) {}
  void step() {
    if (++steps_ % every_ == 0) rt::gc();
  }

 private:
  std::uint64_t every_;
  std::uint64_t steps_ = 0;
};

}  // namespace rt_test
