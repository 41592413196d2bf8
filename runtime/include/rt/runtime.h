// The runtime itself: running it in a program, its processors, its figures.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace rt {

/// What is done when all green threads of a program or of a task wait for each other, and no timer, socket, blocking
/// call or other thread is left that could wake one.
enum class deadlock_policy : std::uint8_t {
  fail,  ///< The task fails. A program says "all green threads are asleep - deadlock!" and ends with status 2, as Go's.
  report,  ///< The stacks are shown, once until something moves again.
  ignore,  ///< Nothing.
};

/// How rt::run sets the runtime up.
struct run_options {
  /// Processors (Ps): how many green threads run at the same moment. 0: as many as affinity and every cgroup's CPU
  /// quota allow, at least 1, looked at again once a second as long as it is 0. The environment variable RT_MAX_PROCS
  /// counts when this is 0.
  int max_procs = 0;
  /// Virtual size in bytes of a green thread's stack with its guard; committed page by page as it is touched.
  std::size_t stack_size = 256 * 1024;
  /// Most kernel threads (Ms) that run green threads. While all of them are in blocking calls no other green thread
  /// runs; nothing fails (rt::runtime_stats::threads_refused_total counts).
  int max_threads = 10'000;
  /// What a deadlock of the whole program does. It is seen two to three seconds after all has come to a stop, and only
  /// where /proc tells that the process has no kernel threads of its own beside the caller of rt::run.
  deadlock_policy on_deadlock = deadlock_policy::fail;
};

/// Starts the runtime, runs `main_function` on the first green thread, waits for it, ends the runtime.
///
/// Green threads that still exist when the function returns are cancelled, and waited for up to 10 s. Returns what the
/// function returns. An exception that leaves it is rethrown here. At most one runtime runs in a process at a time; it
/// can be run again afterwards. Blocks the calling thread.
/// @throws std::logic_error when a runtime is running; std::system_error when threads or memory cannot be had.
int run(std::function<int()> main_function, const run_options& options = {});

/// Reads the number of processors (n <= 0), or sets it (1 to 256) and returns the number before. Setting stops the
/// world for a moment and ends the automatic adjustment.
int max_procs(int n = 0);
/// CPUs that the process may use: affinity and cgroup quotas of every ancestor, rounded up.
int num_cpu() noexcept;
/// Green threads that exist now.
std::size_t num_green_threads() noexcept;
/// The number of the calling green thread, unique while the runtime runs; 0 outside green threads.
std::uint64_t green_thread_id() noexcept;
/// The version of the runtime, "0.1.0".
const char* version() noexcept;

/// How stack guards are made on this kernel.
enum class guard_kind : std::uint8_t {
  guard_install,  ///< MADV_GUARD_INSTALL (Linux 6.13): costs no memory mapping.
  mprotect,       ///< PROT_NONE pages: two mappings a stack, capped by vm.max_map_count.
};

/// Figures of the runtime, read without stopping anything; each is right at some moment during the call. Totals count
/// since the start of the runtime. Times are in seconds, sizes in bytes.
struct runtime_stats {
  // Processors and threads.
  int procs = 0;             ///< Ps
  int idle_procs = 0;        ///< Ps without work
  int threads = 0;           ///< Ms that exist
  int threads_running = 0;   ///< Ms that run a P
  int threads_idle = 0;      ///< Ms asleep
  int threads_blocked = 0;   ///< Ms in rt::blocking or a system call, without a P
  int threads_spinning = 0;  ///< Ms that look for work
  int threads_frozen = 0;    ///< Ms whose green thread was preempted by a signal and waits for a P
  std::uint64_t threads_created_total = 0;
  std::uint64_t threads_ended_total = 0;    ///< after a while without work, or with a locked green thread
  std::uint64_t threads_refused_total = 0;  ///< wanted beyond run_options::max_threads
  // Green threads.
  std::uint64_t green_threads = 0;  ///< exist now
  std::uint64_t runnable = 0;       ///< wait in a run queue
  std::uint64_t running = 0;        ///< on a P
  std::uint64_t waiting = 0;        ///< parked: those that are in none of the other states when they are counted
  std::uint64_t blocking = 0;       ///< in rt::blocking
  std::uint64_t created_total = 0;
  // The scheduler at work.
  std::uint64_t global_queue_length = 0;           ///< wait in queues that no P owns
  std::vector<std::uint64_t> local_queue_lengths;  ///< one for each P
  std::vector<double> busy_seconds_total;          ///< one for each P: time with a green thread on it
  std::uint64_t switches_total = 0;
  std::uint64_t steals_total = 0;          ///< successful
  std::uint64_t steal_failures_total = 0;  ///< searches that found nothing
  std::uint64_t handoffs_total = 0;        ///< Ps taken from a blocked thread and given to another
  std::uint64_t preempt_requests_total = 0;
  std::uint64_t preemptions_total = 0;      ///< green threads that made way, asked or frozen
  std::uint64_t preempt_signals_total = 0;  ///< signals to green threads that did not make way when asked
  std::uint64_t freezes_total = 0;          ///< kernel threads stopped by such a signal
  std::uint64_t retakes_total = 0;          ///< Ps taken from threads that slept in calls nobody had announced
  std::uint64_t wakeups_total = 0;          ///< sleeping threads woken
  std::uint64_t stop_the_world_total = 0;
  double mutex_wait_seconds_total = 0;  ///< that green threads waited, parked, for rt::mutex and rt::shared_mutex
  /// That threads waited for the runtime's own locks; one wait in 8 is measured.
  double runtime_lock_wait_seconds_total = 0;
  std::uint64_t os_lock_parks_total = 0;  ///< waits that began while the green thread held a mutex of the system
  // One wake-up in 64 is measured, of yields up to one in 1024. Counts; bounds in sched_duration_bounds(); the last is
  // overflow.
  std::vector<std::uint64_t> run_queue_wait_buckets;  ///< from runnable to running
  double run_queue_wait_seconds_sum = 0;
  std::vector<std::uint64_t> slice_buckets;  ///< on a P without a break
  double slice_seconds_sum = 0;
  // Stacks.
  guard_kind stack_guard = guard_kind::mprotect;
  std::uint64_t stacks_in_use = 0;
  std::uint64_t stacks_cached = 0;
  std::uint64_t stack_in_use_bytes = 0;    ///< virtual size of the stacks in use
  std::uint64_t stack_reserved_bytes = 0;  ///< address space reserved for stacks
  std::uint64_t stack_limit = 0;           ///< most stacks that may exist (the cap of mprotect guards), 0: no cap
  std::uint64_t stack_failures_total = 0;  ///< spawns refused
  // Timers.
  std::uint64_t timers = 0;
  std::uint64_t timers_fired_total = 0;
  // Network poller.
  std::uint64_t net_descriptors = 0;
  std::uint64_t net_waiting_readers = 0;
  std::uint64_t net_waiting_writers = 0;
  std::uint64_t net_polls_total = 0;   ///< epoll_wait calls
  std::uint64_t net_events_total = 0;  ///< events they returned
};

/// Reads all figures. Takes microseconds; does not stop or wait for green threads; any thread may call it.
runtime_stats read_stats();
/// Upper bounds in seconds of run_queue_wait_buckets and slice_buckets, without the last (+Inf).
const std::vector<double>& sched_duration_bounds();

/// What release_memory gave back to the system, in bytes.
struct released_memory {
  /// Pages of cached, unused stacks.
  std::uint64_t stack_bytes = 0;
  /// Free memory at the top and inside of malloc's arenas (the resident size before less that after).
  std::uint64_t malloc_bytes = 0;
  /// Free pages of the collected heap.
  std::uint64_t heap_bytes = 0;
};
/// Gives memory that nothing uses back to the system, now. May take milliseconds. Any thread may call it.
released_memory release_memory();

/// One green thread, as seen by a dump.
struct green_thread_info {
  std::uint64_t id = 0;
  std::string name;   ///< empty when it was given none
  std::string task;   ///< empty outside tasks
  std::string state;  ///< "running", "runnable", "chan receive", "select", "IO wait", "sleep", …
  double waiting_seconds = 0;
  std::vector<void*> frames;  ///< return addresses, innermost first; empty for a running green thread
};
/// All green threads that exist, at most `limit`. Each is looked at on its own; nothing is stopped.
/// With `task`: those of the task of this name only.
std::vector<green_thread_info> all_green_threads(std::size_t limit = SIZE_MAX, std::string_view task = {});
/// One of them as text, as all_stacks() writes it.
std::string to_text(const green_thread_info& one);
/// A dump as text, with Go's header line, e.g. "goroutine 7 [chan receive, 2 minutes]:" and symbolised frames.
std::string all_stacks(std::size_t limit = SIZE_MAX);
/// The calling green thread's own stack as text.
std::string stack_trace();

}  // namespace rt
