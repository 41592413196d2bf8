// Which part of something that is split by processor (P) the caller uses.
//
// A hint: the caller may be on another P by the time that it touches the part, so parts are atomic or locked. They are
// only contended when that happens, or when threads without a P come.
#pragma once

#include <cstddef>

#include "runtime/os/cpu.h"
#include "runtime/sched/park.h"

namespace rt::detail {

/// How many parts to make: a power of two, for the CPUs that the process may use.
inline std::size_t shard_count() noexcept {
  auto cpus = static_cast<std::size_t>(os::usable_cpus());
  std::size_t count = 1;
  while (count < cpus && count < static_cast<std::size_t>(most_procs)) count *= 2;
  return count;
}

/// The caller's part; `mask` is their number less one.
inline std::size_t shard_of_caller(std::size_t mask) noexcept {
  worker* self = current_worker();
  const processor* p = self == nullptr ? nullptr : static_cast<const processor*>(self->p);
  return p == nullptr ? 0 : static_cast<std::size_t>(p->id) & mask;
}

}  // namespace rt::detail
