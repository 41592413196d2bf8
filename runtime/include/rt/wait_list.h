// The list of waiters that conditions and wait groups carry.
#pragma once

#include <atomic>
#include <cstdint>

namespace rt::detail {

struct waiter;

/// First come, first served list of parked green threads, with a small lock of its own. Internal to the primitives.
class wait_list {
 public:
  constexpr wait_list() noexcept = default;
  wait_list(const wait_list&) = delete;
  wait_list& operator=(const wait_list&) = delete;

 private:
  friend struct wait_list_access;
  std::atomic<std::uint32_t> lock_{0};
  waiter* first_ = nullptr;
  waiter* last_ = nullptr;
};

}  // namespace rt::detail
