// What somebody wants to be done while the world is stopped, and may be done by an M (stop_errand.cpp).
#pragma once

#include <atomic>
#include <cstdint>

namespace rt::detail {

struct stop_errand {
  /// With all Ps stopped but that of the M that does it, in a critical section; on the stack of a kernel thread.
  void (*work)(stop_errand& self) noexcept = nullptr;
  // Steady clock, ns: when the stop was asked for, and when all went on.
  std::int64_t began = 0;
  std::int64_t started = 0;
  std::atomic<bool> done{false};  // by an M
};

}  // namespace rt::detail
