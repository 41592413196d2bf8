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
      {"timer_reset_stop", "ns", timer_reset_stop},
      {"sleep_50us", "us", sleep_50us, 0, 1},
      {"skynet_100k", "ms", skynet_100k},
      {"parked_1m", "s", parked, 1'000'000},
  };
  program.inside = inside;
  program.serve_echo = serve_echo;
  return bench::main_of(program, argument_count, arguments);
}
