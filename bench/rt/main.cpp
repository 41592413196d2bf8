// bench_rt: rtd's runtime measured through its public face, as any program would use it.
#include "bench/common/program.h"
#include "bench/rt/rows.h"
#include "rt/runtime.h"

namespace {

void inside(int procs, const std::function<void()>& body) {
  rt::run_options options;
  options.max_procs = procs;
  rt::run(
      [&] {
        body();
        return 0;
      },
      options);
}

}  // namespace

int main(int argument_count, char** arguments) {
  using namespace bench_rt;
  bench::program program;
  program.name = "bench_rt";
  program.version = rt::version();
  program.rows = {
      {"yield", "ns", yield},
      {"chan_unbuffered", "ns", chan_unbuffered},
      {"spawn", "ns", spawn},
      {"spawn_batch", "ns", spawn_batch},
      {"chan_buffered", "ns", chan_buffered},
      {"chan_contended", "ns", chan_contended},
      {"select2", "ns", select2},
      {"mutex_uncontended", "ns", mutex_uncontended},
      {"mutex_16", "ns", mutex_16},
      {"timer_arm_stop", "ns", timer_arm_stop},
      {"timer_1m_arm_stop", "ns", timer_1m_arm_stop},
      {"timer_reset_stop", "ns", timer_reset_stop},
      {"sleep_50us", "us", sleep_50us, 0, 1},
      {"skynet_100k", "ms", skynet_100k},
      {"skynet_1m", "ms", skynet_1m},
      {"hog_pingpong", "us", hog_pingpong},
      {"hog_light", "us", hog_light, 2000},
      {"loop_beside", "ratio", loop_beside, 2000},
      {"block_beside", "ratio", block_beside, 2000},
      {"scale_yield", "ns", scale_yield, 1000},
      {"scale_chan", "ns", scale_chan, 1000},
      {"scale_spawn", "ns", scale_spawn, 1000},
      {"model_spawner", "ratio", model_spawner, 400},
      {"model_tree", "ratio", model_tree, 1024},
      {"alloc_32", "ns", alloc_32, 30'000'000, 1},
      {"alloc_1k", "ns", alloc_1k, 4'000'000, 1},
      {"binary_trees", "ms", binary_trees, 200, 2},
      {"full_collection", "ms", full_collection, 10, 2},
      {"mark_rate", "MB/s", mark_rate, 10, 1},
      {"barrier_off", "ns", barrier_off, 0, 1},
      {"barrier_on", "ns", barrier_on, 10'000'000, 2},
      {"gc_pause", "us", gc_pause, 10, 2},
      {"gc_pause_loop", "us", gc_pause_loop, 10, 2},
      {"soft_limit_beside", "ratio", soft_limit_beside, 20'000'000, 2},
      {"hard_limit_beside", "ratio", hard_limit_beside, 20'000'000, 2},
      {"churn", "ratio", churn, 12, 2},
      {"spike", "bytes", spike, 512, 2},
      {"parked_1m", "s", parked, 1'000'000},
      {"stackless_1m", "s", stackless, 1'000'000},
  };
  program.inside = inside;
  program.serve_echo = serve_echo;
  return bench::main_of(program, argument_count, arguments);
}
