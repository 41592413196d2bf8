// What the model is driven with. Each workload is as large as the machine: so much for each core.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bench/simulation/model.h"

namespace bench_simulation {

/// The workloads: "spawner" one green thread starts tasks of 10 us, 200 for each core; "tree" a binary tree of green
/// threads that wait for their children, 512 leaves of 2 us for each core; "pairs" two green threads for each core that
/// wake each other in turn, for 0.3 ms after all cores have been woken; "arrivals" tasks of 1 us that
/// sockets make ready at random times, 60 % of what the cores can do, for 2 ms.
inline constexpr std::string_view workload_names[] = {"spawner", "tree", "pairs", "arrivals"};
bool is_workload(std::string_view name) noexcept;

/// One run: what the model counted, and what the workload found ("round_trips", "wait_p50_us" …).
struct run_result {
  outcome counted;
  double utilisation = 0;  // of all cores: own work of the tasks, as a part of the time
  std::vector<std::pair<std::string, double>> details;
};
/// `name` is one of the workloads; the same arguments give the same result.
run_result simulate(std::string_view name, int cores, const costs& price, std::uint64_t seed, policy rules = {});

}  // namespace bench_simulation
