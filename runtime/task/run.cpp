// rt::run: the life of the runtime inside a process.
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>

#include "rt/go.h"
#include "rt/runtime.h"
#include "rt/test.h"
#include "runtime/gc/collector.h"
#include "runtime/heap/sampling.h"
#include "runtime/net/epoll_poller.h"
#include "runtime/os/clock.h"
#include "runtime/os/cpu.h"
#include "runtime/os/debug_options.h"
#include "runtime/os/futex.h"
#include "runtime/os/thread.h"
#include "runtime/os/thread_census.h"
#include "runtime/sched/scheduler.h"
#include "runtime/sched/sharing_domain.h"
#include "runtime/sched/system_monitor.h"
#include "runtime/sched/virtual_time.h"
#include "runtime/sync/plain_unlock.h"
#include "runtime/task/run_scheduler.h"

namespace rt {

namespace {

// How long the green threads that are left at the end may take to unwind.
constexpr std::int64_t time_to_end = 10'000'000'000;

// How long main then waits for the others after a deadlock, in nanoseconds: they may in turn wait for it.
constexpr std::int64_t time_for_the_others = 1'000'000'000;

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

void report_deadlock(const char* kind) noexcept {
  try {
    std::string text = std::string(kind) + ": all green threads are asleep - deadlock!\n\n" + all_stacks();
    std::fwrite(text.data(), 1, text.size(), stderr);
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "%s: all green threads are asleep - deadlock!\n", kind);
  }
  std::fflush(stderr);
}

// Go's status for this. Not exit(): destructors of static objects might wait for green threads.
constexpr int deadlock_status = 2;

detail::group::deadlock_hook hook_for(deadlock_policy policy) noexcept {
  switch (policy) {
    case deadlock_policy::fail:
      return [](detail::group&) noexcept {
        report_deadlock("fatal error");
        _exit(deadlock_status);
      };
    case deadlock_policy::report:
      return [](detail::group&) noexcept { report_deadlock("warning"); };
    case deadlock_policy::ignore:
      break;
  }
  return nullptr;
}

struct main_outcome {
  std::atomic<std::uint32_t> done{0};  // futex
  int status = 0;
  std::exception_ptr failure;
  detail::green_thread* main = nullptr;
  std::string deadlock;  // the stacks, when a bubble's green threads wait for ever

  void finish() noexcept {
    done.store(1, std::memory_order_release);  // pairs with the wait in run_scheduler
    os::futex_wake(done, 1);
  }
};

void note_deadlock(void* outcome_pointer) noexcept {
  auto& outcome = *static_cast<main_outcome*>(outcome_pointer);
  if (outcome.done.load(std::memory_order_relaxed) == 0) outcome.deadlock = all_stacks();
  outcome.finish();
}

}  // namespace

int run(std::function<int()> main_function, const run_options& options) {
  if (options.max_procs < 0 || options.max_procs > detail::most_procs) {
    throw std::invalid_argument("rt::run: max_procs is " + std::to_string(options.max_procs) + "; give 0 to " +
                                std::to_string(detail::most_procs));
  }
  if (options.max_threads < 1) {
    throw std::invalid_argument("rt::run: max_threads is " + std::to_string(options.max_threads) + "; give at least 1");
  }
  int procs = options.max_procs != 0 ? options.max_procs : procs_from_environment();
  bool follow_cpus = procs == 0;
  if (follow_cpus) procs = os::usable_cpus() < detail::most_procs ? os::usable_cpus() : detail::most_procs;
  const os::debug_options debug = os::read_debug_options();
  return detail::run_scheduler(std::move(main_function), {.procs = procs,
                                                          .stack_size = options.stack_size,
                                                          .max_threads = options.max_threads,
                                                          .on_deadlock = options.on_deadlock,
                                                          .follow_cpus = follow_cpus,
                                                          .shuffle_seed = debug.shuffle_seed,
                                                          .debug = debug});
}

int detail::run_scheduler(std::function<int()> main_function, const run_settings& settings) {
  if (running.exchange(true)) throw std::logic_error("rt::run: a runtime is running in this process already");

  auto end_run = [](bool*) { running.store(false); };
  bool token = true;
  std::unique_ptr<bool, decltype(end_run)> running_guard(&token, end_run);

  main_outcome outcome;
  auto the = std::make_unique<detail::scheduler>(settings.procs, settings.stack_size, detail::net_poller(),
                                                 settings.follow_cpus, settings.max_threads);
  detail::on_park_with_os_lock.store(&detail::report_os_locks, std::memory_order_relaxed);  // before any green thread
  the->default_group().watch(detail::shared_by_all(), hook_for(settings.on_deadlock));
  if (settings.shuffle_seed) the->shuffle(*settings.shuffle_seed);
  std::unique_ptr<detail::virtual_time> time;
  if (settings.virtual_time) {
    time = std::make_unique<detail::virtual_time>(test::start.time_since_epoch().count(), note_deadlock, &outcome);
    the->use_virtual_time(*time);
  }
  detail::start_heap_profile();
  detail::set_the_scheduler(the.get());
  // What the callers of rt::run keep in registers is on this thread's stack, and stays there.
  __builtin_unwind_init();
  const char* used_stack = nullptr;
#if defined(__x86_64__)
  asm volatile("movq %%rsp, %0" : "=r"(used_stack));
#elif defined(__aarch64__)
  asm volatile("mov %0, sp" : "=r"(used_stack));
#endif
  const os::thread_stack own_stack = os::current_thread_stack();
  detail::the_collector().begin_run({used_stack, static_cast<const char*>(own_stack.low) + own_stack.size},
                                    settings.debug);
  try {
    detail::allow_plain_unlock();
    the->start();
    detail::virtual_time* bubble_time = time.get();
    // How often a P looked for work before there was any is not the seed's to decide: the order begins here.
    std::optional<std::uint64_t> seed = settings.procs == 1 ? settings.shuffle_seed : std::nullopt;
    go({.stack_size = 0, .name = "main"}, [&outcome, bubble_time, seed, function = std::move(main_function)] {
      if (seed) detail::the_scheduler()->shuffle(*seed);
      outcome.main = detail::current_green_thread();
      if (bubble_time != nullptr) bubble_time->open();
      try {
        outcome.status = function();
      } catch (const cancelled&) {
        outcome.status = 1;
      } catch (...) {
        outcome.failure = std::current_exception();
      }
      // In a bubble here, before the clock can move once more.
      if (bubble_time != nullptr) detail::current_group()->domain.cancel();
      outcome.finish();
    });
  } catch (...) {
    detail::the_collector().end_run();
    the->shut_down(os::nanotime() + time_to_end);
    detail::set_the_scheduler(nullptr);
    throw;
  }
  {
    os::own_thread counted;  // as long as it only waits
    while (outcome.done.load(std::memory_order_acquire) == 0) os::futex_wait(outcome.done, 0, -1);
  }

  // It starts green threads for destructors; those that it has started are among the rest.
  detail::the_collector().end_run();
  detail::group& rest = the->default_group();
  if (!outcome.deadlock.empty()) {
    // The function is still there, and what it has on its stack is what the others wait for: they go first.
    rest.domain.cancel(outcome.main);
    rest.wait_until_at_most(1, os::nanotime() + time_for_the_others);
    detail::unpark(*outcome.main);
  }
  rest.domain.cancel();
  std::int64_t deadline = os::nanotime() + time_to_end;
  // Destructors that are due are called all the same.
  bool ended = rest.wait_until_all_ended(deadline);
  // Values of rt::task_local: their destructors may park, so they run on a green thread.
  bool has_values = rest.values.load(std::memory_order_acquire) != nullptr;
  while (ended && has_values) {
    go({.stack_size = 0, .name = "end"}, [&rest, &has_values] { has_values = rest.destroy_values(); });
    ended = rest.wait_until_all_ended(deadline);
  }
  ended = the->shut_down(deadline + 1'000'000'000) && ended;
  if (!ended) {
    // Green threads that do not return keep their kernel threads, which use the scheduler: it stays, and so does the
    // fact that a runtime runs. The process can only end now.
    static_cast<void>(the.release());
    static_cast<void>(time.release());
    static_cast<void>(running_guard.release());
  } else {
    detail::set_the_scheduler(nullptr);
  }
  if (!ended && settings.virtual_time && outcome.deadlock.empty()) outcome.deadlock = all_stacks();
  if (!outcome.deadlock.empty()) {
    throw test::deadlock("rt::test::bubble: all green threads wait, and nothing will ever wake one:\n\n" +
                         outcome.deadlock);
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
    if (the->time() != nullptr) throw std::logic_error("rt::max_procs: a test bubble has one processor for good");
    the->monitor().stop_following_cpus();
    if (n != before) the->set_procs(n);
  }
  return before;
}

int num_cpu() noexcept { return os::usable_cpus(); }

std::uint64_t green_thread_id() noexcept {
  detail::green_thread* self = detail::current_green_thread();
  return self == nullptr ? 0 : self->id.load(std::memory_order_relaxed);
}

const char* version() noexcept { return "0.1.0"; }

}  // namespace rt
