// rt::run: the life of the runtime inside a process.
#include <atomic>
#include <cstdlib>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>

#include "rt/go.h"
#include "rt/runtime.h"
#include "runtime/net/epoll_poller.h"
#include "runtime/os/clock.h"
#include "runtime/os/cpu.h"
#include "runtime/os/futex.h"
#include "runtime/sched/scheduler.h"
#include "runtime/sched/system_monitor.h"

namespace rt {

namespace {

// How long the green threads that are left at the end may take to unwind.
constexpr std::int64_t time_to_end = 10'000'000'000;

std::atomic<bool> running{false};

int procs_from_environment() {
  const char* text = std::getenv("RT_MAX_PROCS");
  if (text == nullptr || *text == '\0') return 0;
  char* end = nullptr;
  long value = std::strtol(text, &end, 10);
  if (*end != '\0' || value < 1 || value > detail::most_procs) {
    throw std::invalid_argument("RT_MAX_PROCS=" + std::string(text) + ": give a number from 1 to " +
                                std::to_string(detail::most_procs));
  }
  return static_cast<int>(value);
}

struct main_outcome {
  std::atomic<std::uint32_t> done{0};  // futex
  int status = 0;
  std::exception_ptr failure;
};

}  // namespace

int run(std::function<int()> main_function, const run_options& options) {
  if (options.max_procs < 0 || options.max_procs > detail::most_procs) {
    throw std::invalid_argument("rt::run: max_procs is " + std::to_string(options.max_procs) + "; give 0 to " +
                                std::to_string(detail::most_procs));
  }
  int procs = options.max_procs != 0 ? options.max_procs : procs_from_environment();
  bool follow_cpus = procs == 0;
  if (follow_cpus) procs = os::usable_cpus() < detail::most_procs ? os::usable_cpus() : detail::most_procs;
  if (running.exchange(true)) throw std::logic_error("rt::run: a runtime is running in this process already");

  auto end_run = [](bool*) { running.store(false); };
  bool token = true;
  std::unique_ptr<bool, decltype(end_run)> running_guard(&token, end_run);

  auto the = std::make_unique<detail::scheduler>(procs, options.stack_size, detail::net_poller(), follow_cpus);
  detail::set_the_scheduler(the.get());
  main_outcome outcome;
  try {
    the->start();
    go({.stack_size = 0, .name = "main"}, [&outcome, function = std::move(main_function)] {
      try {
        outcome.status = function();
      } catch (const cancelled&) {
        outcome.status = 1;
      } catch (...) {
        outcome.failure = std::current_exception();
      }
      outcome.done.store(1, std::memory_order_release);  // pairs with the wait below
      os::futex_wake(outcome.done, 1);
    });
  } catch (...) {
    the->shut_down(os::nanotime() + time_to_end);
    detail::set_the_scheduler(nullptr);
    throw;
  }
  while (outcome.done.load(std::memory_order_acquire) == 0) os::futex_wait(outcome.done, 0, -1);

  detail::group& rest = the->default_group();
  rest.domain.cancel();
  std::int64_t deadline = os::nanotime() + time_to_end;
  bool ended = rest.wait_until_at_most(0, deadline);
  ended = the->shut_down(deadline + 1'000'000'000) && ended;
  if (!ended) {
    // Green threads that do not return keep their kernel threads, which use the scheduler: it stays, and so does the
    // fact that a runtime runs. The process can only end now.
    static_cast<void>(the.release());
    static_cast<void>(running_guard.release());
  } else {
    detail::set_the_scheduler(nullptr);
  }
  if (outcome.failure != nullptr) std::rethrow_exception(outcome.failure);
  return outcome.status;
}

int max_procs(int n) {
  detail::scheduler* the = detail::the_scheduler();
  if (the == nullptr) return num_cpu();
  int before = the->proc_count();
  if (n > detail::most_procs) {
    throw std::invalid_argument("rt::max_procs: " + std::to_string(n) + "; give 1 to " +
                                std::to_string(detail::most_procs));
  }
  if (n > 0) {
    the->monitor().stop_following_cpus();
    if (n != before) the->set_procs(n);
  }
  return before;
}

int num_cpu() noexcept { return os::usable_cpus(); }

std::uint64_t green_thread_id() noexcept {
  detail::green_thread* self = detail::current_green_thread();
  return self == nullptr ? 0 : self->id;
}

const char* version() noexcept { return "0.1.0"; }

}  // namespace rt
