// The rows of bench_rt. Each does the same work as the function of the same row in bench/go and bench/boost_fiber.
#pragma once

#include <cstdint>

#include "bench/common/program.h"

namespace bench_rt {

// switching.cpp
bench::sample yield(std::uint64_t count);
bench::sample spawn(std::uint64_t count);
bench::sample spawn_batch(std::uint64_t count);
bench::sample skynet_100k(std::uint64_t count);

// channels.cpp
bench::sample chan_unbuffered(std::uint64_t count);
bench::sample chan_buffered(std::uint64_t count);
bench::sample chan_contended(std::uint64_t count);
bench::sample select2(std::uint64_t count);

// locks.cpp
bench::sample mutex_uncontended(std::uint64_t count);
bench::sample mutex_16(std::uint64_t count);

// timers.cpp
bench::sample timer_arm_stop(std::uint64_t count);
bench::sample timer_reset_stop(std::uint64_t count);
bench::sample sleep_50us(std::uint64_t count);

// parked.cpp
bench::sample parked(std::uint64_t count);

// echo.cpp
void serve_echo(int port);

}  // namespace bench_rt
