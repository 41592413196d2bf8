// rt::test: a bubble is a run of the runtime that is shuffled by its seed and whose clock is virtual
// (sched/shuffle.cpp, sched/virtual_time.h).
#include "rt/test.h"

#include <exception>
#include <string>

#include "rt/runtime.h"
#include "runtime/task/exception_text.h"
#include "runtime/task/run_scheduler.h"

namespace rt::test {

void bubble(const bubble_options& options, std::function<void()> function) {
  detail::run_settings settings{.procs = 1,
                                .stack_size = run_options().stack_size,
                                .max_threads = run_options().max_threads,
                                .on_deadlock = deadlock_policy::ignore,  // virtual time reports it
                                .follow_cpus = false,
                                .shuffle_seed = options.seed,
                                .virtual_time = true};
  auto main_function = [body = std::move(function)] {
    body();
    return 0;
  };
  detail::run_scheduler(main_function, settings);
}

void bubble(std::function<void()> function) { bubble({}, std::move(function)); }

static std::string heading(std::uint64_t seed) { return "rt::test::explore: seed " + std::to_string(seed) + ": "; }

void explore(std::uint64_t count, const std::function<void(std::uint64_t seed)>& function, std::uint64_t first) {
  for (std::uint64_t i = 0; i < count; ++i) {
    std::uint64_t seed = first + i;
    try {
      bubble({.seed = seed}, [&function, seed] { function(seed); });
    } catch (const std::exception& error) {
      std::throw_with_nested(failed_seed(seed, heading(seed) + error.what()));  // what a deadlock says has many lines
    } catch (...) {
      std::throw_with_nested(failed_seed(seed, heading(seed) + detail::exception_text(std::current_exception())));
    }
  }
}

}  // namespace rt::test
