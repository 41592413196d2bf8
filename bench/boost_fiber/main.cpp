// bench_boost_fiber: Boost.Fiber measured by the same work as rtd's runtime.
//
// One kernel thread uses the default scheduler (round_robin); several use work_stealing with idle threads that keep
// looking for work, the faster of its two modes when every thread has a CPU of its own.
#include <boost/fiber/algo/work_stealing.hpp>
#include <boost/fiber/condition_variable.hpp>
#include <boost/fiber/mutex.hpp>
#include <boost/fiber/operations.hpp>
#include <boost/version.hpp>
#include <mutex>
#include <thread>
#include <vector>

#include "bench/boost_fiber/rows.h"
#include "bench/common/program.h"

namespace bench_boost_fiber {

namespace {

int thread_count = 1;

void inside(int procs, const std::function<void()>& body) {
  thread_count = procs;
  if (procs == 1) {
    body();
    return;
  }
  boost::fibers::mutex lock;
  boost::fibers::condition_variable_any ended_changed;
  bool ended = false;
  std::vector<std::thread> helpers;
  for (int i = 1; i < procs; ++i) {
    helpers.emplace_back([&] {
      boost::fibers::use_scheduling_algorithm<boost::fibers::algo::work_stealing>(static_cast<std::uint32_t>(procs));
      std::unique_lock<boost::fibers::mutex> locked(lock);
      ended_changed.wait(locked, [&] { return ended; });
    });
  }
  boost::fibers::use_scheduling_algorithm<boost::fibers::algo::work_stealing>(static_cast<std::uint32_t>(procs));
  body();
  {
    std::unique_lock<boost::fibers::mutex> locked(lock);
    ended = true;
  }
  ended_changed.notify_all();
  for (std::thread& helper : helpers) helper.join();
}

}  // namespace

int threads() noexcept { return thread_count; }

}  // namespace bench_boost_fiber

int main(int argument_count, char** arguments) {
  using namespace bench_boost_fiber;
  bench::program program;
  program.name = "bench_boost_fiber";
  program.version = BOOST_LIB_VERSION;
  program.rows = {
      {"yield", "ns", yield},
      {"chan_unbuffered", "ns", chan_unbuffered},
      {"spawn", "ns", spawn},
      {"spawn_batch", "ns", spawn_batch},
      {"chan_buffered", "ns", chan_buffered},
      {"chan_contended", "ns", chan_contended},
      {"mutex_uncontended", "ns", mutex_uncontended},
      {"mutex_16", "ns", mutex_16},
      {"sleep_50us", "us", sleep_50us, 0, 1},
      {"skynet_100k", "ms", skynet_100k},
  };
  program.inside = inside;
  return bench::main_of(program, argument_count, arguments);
}
