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
bench::sample skynet_1m(std::uint64_t count);

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
bench::sample timer_1m_arm_stop(std::uint64_t count);
bench::sample timer_reset_stop(std::uint64_t count);
bench::sample sleep_50us(std::uint64_t count);

// hogs.cpp
bench::sample hog_pingpong(std::uint64_t count);
bench::sample hog_light(std::uint64_t count);
bench::sample loop_beside(std::uint64_t count);
bench::sample block_beside(std::uint64_t count);

// scaling.cpp
bench::sample scale_yield(std::uint64_t count);
bench::sample scale_chan(std::uint64_t count);
bench::sample scale_spawn(std::uint64_t count);

// modelled.cpp
bench::sample model_spawner(std::uint64_t count);
bench::sample model_tree(std::uint64_t count);

// allocation.cpp
bench::sample alloc_32(std::uint64_t count);
bench::sample alloc_1k(std::uint64_t count);
bench::sample binary_trees(std::uint64_t count);
bench::sample full_collection(std::uint64_t count);

// marking.cpp
bench::sample mark_rate(std::uint64_t count);
bench::sample barrier_off(std::uint64_t count);
bench::sample barrier_on(std::uint64_t count);

// pauses.cpp
bench::sample gc_pause(std::uint64_t count);
bench::sample gc_pause_loop(std::uint64_t count);
bench::sample soft_limit_beside(std::uint64_t count);
bench::sample hard_limit_beside(std::uint64_t count);

// churn.cpp
bench::sample churn(std::uint64_t count);
bench::sample spike(std::uint64_t count);

// parked.cpp
bench::sample parked(std::uint64_t count);
bench::sample stackless(std::uint64_t count);

// echo.cpp
void serve_echo(int port);

}  // namespace bench_rt
