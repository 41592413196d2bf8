// The rows of bench_boost_fiber: the work of bench/rt wherever Boost.Fiber has the operation. It has no select, no
// timer that can be stopped and no sockets.
#pragma once

#include <cstdint>

#include "bench/common/program.h"

namespace bench_boost_fiber {

/// Kernel threads that run fibers in the current row.
int threads() noexcept;

// switching.cpp
bench::sample yield(std::uint64_t count);
bench::sample spawn(std::uint64_t count);
bench::sample spawn_batch(std::uint64_t count);
bench::sample skynet_100k(std::uint64_t count);

// channels.cpp
bench::sample chan_unbuffered(std::uint64_t count);
bench::sample chan_buffered(std::uint64_t count);
bench::sample chan_contended(std::uint64_t count);

// waiting.cpp
bench::sample mutex_uncontended(std::uint64_t count);
bench::sample mutex_16(std::uint64_t count);
bench::sample sleep_50us(std::uint64_t count);

}  // namespace bench_boost_fiber
