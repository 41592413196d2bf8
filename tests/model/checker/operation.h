// One step of a thread, as the scheduler of the model sees it before it is taken.
#pragma once

#include <cstdint>

namespace rt_model {

enum class step : std::uint8_t { start, load, store, exchange, compare_exchange, fence, block, join, end, barrier };

inline constexpr std::uint32_t no_event = UINT32_MAX;

struct operation {
  step what = step::start;
  const volatile void* address = nullptr;
  std::uint8_t size = 0;
  int order = 0;          // __ATOMIC_…
  int failure_order = 0;  // of a compare-exchange
  bool weak = false;
  bool lock = false;  // an acquiring exchange of 1: waits while the word is 1 (see instrument.cpp)
  std::uintptr_t site = 0;
  bool (*condition)(std::uint64_t, std::uint64_t) = nullptr;  // of a block
  std::uint64_t data = 0;

  bool writes() const noexcept {
    return what == step::store || what == step::exchange || what == step::compare_exchange;
  }
  bool reads() const noexcept { return what == step::load || what == step::block; }
  bool sequential() const noexcept { return order == __ATOMIC_SEQ_CST || failure_order == __ATOMIC_SEQ_CST; }
  /// A load whose order against the stores of others makes no difference: it may read an old one anyway.
  bool may_be_stale() const noexcept { return what == step::load && order != __ATOMIC_SEQ_CST; }
  bool sequential_fence() const noexcept { return what == step::fence && order == __ATOMIC_SEQ_CST; }
};

/// Whether the order of the two, taken by different threads one after the other, can matter.
inline bool dependent(const operation& a, const operation& b) noexcept {
  bool a_access = a.writes() || a.reads();
  bool b_access = b.writes() || b.reads();
  if (a.what == step::barrier) return b_access || b.what == step::fence || b.what == step::barrier;
  if (b.what == step::barrier) return a_access || a.what == step::fence;
  if (a_access && b_access) {
    if (a.address != b.address) return false;
    return a.writes() || b.writes() || (a.sequential() && b.sequential());
  }
  if (a.sequential_fence()) return b.sequential_fence() || (b_access && b.sequential());
  return b.sequential_fence() && a_access && a.sequential();
}

inline bool acquires(int order) noexcept {
  return order == __ATOMIC_ACQUIRE || order == __ATOMIC_CONSUME || order == __ATOMIC_ACQ_REL ||
         order == __ATOMIC_SEQ_CST;
}
inline bool releases(int order) noexcept {
  return order == __ATOMIC_RELEASE || order == __ATOMIC_ACQ_REL || order == __ATOMIC_SEQ_CST;
}

}  // namespace rt_model
