// Random numbers of tests that look for races. The seed is printed, and given again by the variable RT_TEST_SEED.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>

namespace rt_test {

/// One for a test; each of its green threads takes numbers of its own.
class seeds {
 public:
  seeds() : seed_(from_environment()) { std::printf("RT_TEST_SEED=%llu\n", static_cast<unsigned long long>(seed_)); }
  std::mt19937 source(unsigned number) const {
    std::seed_seq sequence{static_cast<unsigned>(seed_), static_cast<unsigned>(seed_ >> 32), number};
    return std::mt19937(sequence);
  }

 private:
  static std::uint64_t from_environment() {
    const char* text = std::getenv("RT_TEST_SEED");
    if (text != nullptr) return std::strtoull(text, nullptr, 10);
    std::random_device device;
    return static_cast<std::uint64_t>(device()) << 32 | device();
  }
  std::uint64_t seed_;
};

}  // namespace rt_test
