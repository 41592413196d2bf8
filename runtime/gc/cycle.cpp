// The steps of a cycle; what they are for is told in collector.cpp.
#include <algorithm>

#include "runtime/gc/cleanups.h"
#include "runtime/gc/collector.h"
#include "runtime/gc/cycle_trace.h"
#include "runtime/gc/destroyer.h"
#include "runtime/gc/exceptions.h"
#include "runtime/gc/mark_check.h"
#include "runtime/gc/reference_path.h"
#include "runtime/gc/stack_roots.h"
#include "runtime/os/clock.h"
#include "runtime/os/futex.h"
#include "runtime/sched/collection_hook.h"
#include "runtime/sched/scan_list.h"
#include "runtime/sched/stop_errand.h"

namespace rt::detail {

namespace {

// How long the last stop may last until the world goes on and marking beside it, in nanoseconds: what one member can do
// in the time that it takes to wake another. And how often that is tried until a stop ends it at all costs.
constexpr std::int64_t longest_alone = 30'000;
constexpr std::uint32_t most_attempts = 4;
// How long the collector's thread looks on while a helper works, and for how long it sleeps then, in nanoseconds.
constexpr std::int64_t look_on = 10'000;
constexpr std::int64_t nap = 20'000;
// How long the first stop looks at the stacks of those that it has stopped, in nanoseconds.
constexpr std::int64_t longest_hints = 20'000;
// How often stacks that have run are scanned again before the last stop is tried, and how few of them are few.
constexpr int rounds_before_stop = 3;
constexpr std::size_t few_stacks = 16;
// How many spans the collector's thread sweeps at once.
constexpr std::size_t spans_at_once = 64;

// A stop of everything, and its clock: steady, in nanoseconds.
struct stop_times {
  std::int64_t began;
  std::int64_t stopped;
  std::int64_t started;

  std::int64_t stopping() const noexcept { return stopped - began; }
  std::int64_t standing() const noexcept { return started - stopped; }
};

// Stops everything for `work(stopped_at)`, which is done on whatever thread can do so soonest.
template <class Work>
stop_times with_all_stopped(const Work& work) noexcept {
  struct whole_stop : stop_errand {
    const Work* inner;
    std::int64_t stopped;
  } whole;
  whole.inner = &work;
  whole.stopped = 0;
  whole.work = [](stop_errand& errand) noexcept {
    auto& self = static_cast<whole_stop&>(errand);
    the_scheduler()->hold_outsiders();
    self.stopped = os::nanotime();
    (*self.inner)(self.stopped);
    the_scheduler()->release_outsiders();
  };
  the_scheduler()->run_errand(whole);
  return {whole.began, whole.stopped, whole.started};
}

void scan_slots(marker& into) noexcept {
  roots().for_each_page([&](const void* low, const void* high) { into.scan(low, high); });
}

void forget_noted() noexcept {
  for (green_thread* one = ran_since_scan.take_all(); one != nullptr;) one = scan_list::next(*one);
}

void scan_range(void* into, root_range range) noexcept { static_cast<marker*>(into)->scan(range.low, range.high); }

}  // namespace

void collector::run_cycle(cycle_cause cause) noexcept {
  sweep_all();
  cycle_report report;
  report.cause = cause;
  report.began_at = os::nanotime();
  report.procs = the_scheduler()->proc_count();
  std::int64_t cpu_before = team_->cpu_time();
  team_->prepare(report.procs);
  search_now_ = search_.exchange(nullptr, std::memory_order_acq_rel);  // pairs with search
  if (options_.stop_to_mark || options_.check_marks || search_now_ != nullptr) {
    // Before a stop: the loader's lock may be held by who is stopped.
    data_.clear();
    for_each_data_segment([](void* into, root_range range) { static_cast<root_ranges*>(into)->push_back(range); },
                          &data_);
  }
  if (options_.stop_to_mark) {
    mark_in_the_stop(report);
  } else {
    open_books(report);
    begin_marking(report);
    mark_beside_others();
    foresee_end(report);
    while (!try_to_end_marking(report.attempts == most_attempts, report)) {
      ++report.attempts;
      mark_beside_others();
    }
  }
  report.ended_at = os::nanotime();
  note_marked(report);
  report.background_cpu = team_->cpu_time() - cpu_before;
  note_end(report);
  run_collection_hooks();
  sweep_all();
  // Where nobody needs that memory now, it goes back to the system.
  if (report.left_behind >= much_left_behind) release_surplus_pages();
  destroy_dead_objects();
  task_cleanups::wake_all();
  last_end_ = report.ended_at;
  std::int64_t now = os::nanotime();
  task_limit_turn_.store(now + rest_after_task_limit * (now - report.began_at), std::memory_order_relaxed);
  completed_.store(report.number, std::memory_order_release);  // pairs with completed
}

// With everything stopped: from here on allocations are marked and barriers work.
void collector::begin_marking(cycle_report& report) noexcept {
  forget_noted();
  const stop_times times = with_all_stopped([&](std::int64_t stopped_at) {
    forget_noted();  // those that threads without a P have started just now
    ran_since_scan.open();
    start_cycle(report);
    scan_interrupted(team_->first(), deep_stacks_);
    scan_who_made_way(team_->first(), stopped_at + longest_hints);
    scan_deep_stacks(report.procs);
    if (options_.check_barrier) barrier_check_.note_references();
  });
  report.first_stopping = times.stopping();
  report.first_pause = times.standing();
  note_stop(true, report.first_stopping, report.first_pause);
}

void collector::mark_beside_others() noexcept {
  struct roots_of_all {
    collector& self;
    bool first;
  } what{*this, !roots_seen_};
  mark_team::assignment work;
  work.argument = &what;
  work.roots = [](void* argument, marker& into, std::size_t index, std::size_t members) {
    auto& all = *static_cast<roots_of_all*>(argument);
    if (!all.first) return;
    all.self.stack_bytes_.fetch_add(scan_parked_stacks(into, index, members), std::memory_order_relaxed);
    if (index != 0) return;
    scan_slots(into);
    for_each_exception(&scan_range, &into);
    std::uint64_t before = into.scanned_bytes();
    for_each_data_segment(&scan_range, &into);
    all.self.global_bytes_.store(into.scanned_bytes() - before, std::memory_order_relaxed);
    into.scan(all.self.host_stack_.low, all.self.host_stack_.high);
  };
  work.considerate = true;
  roots_seen_ = true;
  std::size_t before = SIZE_MAX;
  for (int round = 0;; ++round) {
    do {
      team_->run(work, the_scheduler()->proc_count());
      what.first = false;
      flush_places();
      if (!pool_.has_work()) wait_for_helpers();
    } while (pool_.has_work());
    if (round == rounds_before_stop) return;
    std::size_t left = scan_returned_stacks(team_->first());
    team_->first().flush();
    if (!pool_.has_work() || left <= few_stacks || left >= before) return;
    before = left;
  }
}

// Green threads that help have taken objects out of the pool. What they have not looked into when the world is to be
// stopped they give back, and it would be looked into in the stop: so they are waited for, or relieved of it.
void collector::wait_for_helpers() noexcept {
  if (helpers_.load(std::memory_order_acquire) == 0) return;  // pairs with help
  lacks_work_.store(true, std::memory_order_relaxed);
  const std::int64_t began = os::nanotime();
  while (!pool_.has_work()) {
    std::uint32_t left = helpers_.load(std::memory_order_acquire);
    if (left == 0) break;
    if (os::nanotime() - began < look_on) {
      os::cpu_pause();
    } else {
      os::futex_wait(helpers_, left, nap);
    }
  }
  lacks_work_.store(false, std::memory_order_relaxed);
}

bool collector::try_to_end_marking(bool at_all_costs, cycle_report& report) noexcept {
  bool done = false;
  const stop_times times = with_all_stopped([&](std::int64_t stopped_at) {
    flush_places();
    marker& mine = team_->first();
    stack_bytes_.fetch_add(scan_stopped_stacks(mine, false, deep_stacks_).bytes, std::memory_order_relaxed);
    // What deep stacks take another attempt would take again: it does not count.
    if (scan_deep_stacks(report.procs)) stopped_at = os::nanotime();
    // Others are woken only if there is much to do: that takes as long as what one can do in the meantime.
    mark_team::assignment work;
    work.until = stopped_at + longest_alone;
    done = team_->run(work, 1);
    work.until = INT64_MAX;
    while (!done && at_all_costs) done = team_->run(work, report.procs);
    if (done) end_marking(report);
  });
  note_stop(false, times.stopping(), times.standing());
  report.last_stopping += times.stopping();
  report.last_pause += times.standing();
  return done;
}

// In a stop: by the whole team, if there are bytes enough. False when there were none.
bool collector::scan_deep_stacks(int members) noexcept {
  const std::uint64_t bytes = deep_stacks_.bytes();
  if (bytes == 0) return false;
  mark_team::assignment work;
  work.argument = &deep_stacks_;
  work.roots = [](void* argument, marker& into, std::size_t, std::size_t) {
    static_cast<deep_stacks*>(argument)->scan_share(into);
  };
  work.until = 0;  // nothing but this
  team_->run(work, bytes >= deep_stacks::worth_sharing ? members : 1);
  deep_stacks_.clear();
  return true;
}

void collector::mark_in_the_stop(cycle_report& report) noexcept {
  open_books(report);
  const stop_times times = with_all_stopped([&](std::int64_t) {
    start_cycle(report);
    flush_places();
    marker& mine = team_->first();
    scan_slots(mine);
    for_each_exception(&scan_range, &mine);
    for (const root_range& one : data_) mine.scan(one.low, one.high);
    mine.scan(host_stack_.low, host_stack_.high);
    stack_bytes_.store(scan_stopped_stacks(mine, true, deep_stacks_).bytes, std::memory_order_relaxed);
    scan_deep_stacks(report.procs);
    mark_team::assignment work;
    while (!team_->run(work, report.procs)) {
    }
    foresee_end(report);
    end_marking(report);
  });
  report.last_stopping = times.stopping();
  report.last_pause = times.standing();
  note_stop(false, report.last_stopping, report.last_pause);
}

// With everything stopped, and nothing left to look into. What can be done before and after that is there.
void collector::end_marking(cycle_report& report) noexcept {
  ran_since_scan.close();
  roots_seen_ = false;
  if (options_.check_marks) check_marks(data_, host_stack_);
  if (options_.check_barrier) barrier_check_.check();
  if (search_now_ != nullptr) search_now_->run(data_, host_stack_);
  // What caches have been handed counts as allocated here, so the sum may be a little less than it was at the begin.
  report.heap_at_end += allocated_marking_.load(std::memory_order_relaxed);
  report.heap_at_end = std::max(report.heap_at_end, report.live_before);
  // What was allocated meanwhile is marked as well.
  report.marked = team_->take_counts().marked_bytes + helped_marked_.load(std::memory_order_relaxed) +
                  (report.heap_at_end - report.live_before);
  end_mark();
  marks_.store(false, std::memory_order_relaxed);
  allocated_since_.store(0, std::memory_order_relaxed);
  // Until note_end, which this thread may come to late on a busy machine.
  bool by_percent = goal_.load(std::memory_order_relaxed) != UINT64_MAX;
  std::uint64_t allowed = by_percent ? std::max(report.marked, least_heap) : UINT64_MAX;
  allowed_.store(allowed, std::memory_order_relaxed);
  most_allowed_.store(allowed, std::memory_order_relaxed);
}

// The begin of a cycle's account, before the world is stopped: nobody else writes here while nothing marks.
void collector::open_books(cycle_report& report) noexcept {
  report.left_behind = left_behind_.exchange(0, std::memory_order_relaxed);
  claimed_.store(0, std::memory_order_relaxed);
  helped_scanned_.store(0, std::memory_order_relaxed);
  helped_marked_.store(0, std::memory_order_relaxed);
  assist_time_.store(0, std::memory_order_relaxed);
  stack_bytes_.store(0, std::memory_order_relaxed);
  team_->take_counts();
  team_scanned_before_ = team_->scanned();
  // What is allocated from here to the stop is added there.
  std::uint64_t since = allocated_since_.load(std::memory_order_relaxed);
  report.live_before = read_heap_figures().live_bytes() - since;
  os::spin_guard guard(pace_lock_);
  told_allocated_ = told_scanned_ = 0;
  pace_.begin_cycle(report.live_before + since, report.live_before + since, last_stack_bytes_,
                    global_bytes_.load(std::memory_order_relaxed));
  report.goal = pace_.goal();
}

// With everything stopped.
void collector::start_cycle(cycle_report& report) noexcept {
  report.number = started_.load(std::memory_order_relaxed) + 1;
  // seq_cst with collect: who lets go of something after this may be too late for this cycle.
  started_.store(report.number, std::memory_order_seq_cst);
  asked_.store(false, std::memory_order_relaxed);
  report.live_before += allocated_since_.load(std::memory_order_relaxed);
  allocated_marking_.store(0, std::memory_order_relaxed);
  int procs = the_scheduler()->proc_limit();
  for (int i = 0; i < procs; ++i) places_[i].credit = 0;
  begin_mark();
  if (options_.check_marks) check_no_marks();
  marks_.store(true, std::memory_order_relaxed);
}

// Reads the figures of the heap before the stop that ends marking; end_marking adds what is allocated from here on.
void collector::foresee_end(cycle_report& report) noexcept {
  std::uint64_t allocated = allocated_marking_.load(std::memory_order_relaxed);
  std::uint64_t live = note_before_end_of_mark().live_bytes();
  report.heap_at_end = live - std::min(live, allocated);
}

// The world goes on after end_marking, and this thread has not begun to sweep.
void collector::note_marked(cycle_report& report) noexcept {
  note_end_of_mark();
  forget_noted();
  for (std::size_t i = 0; i <= most_procs; ++i) {
    os::spin_guard guard(places_[i].lock);  // threads that are none of the runtime's go on
    report.marked += places_[i].own.take_counts().marked_bytes;
  }
  report.scanned = team_->scanned() - team_scanned_before_ + helped_scanned_.load(std::memory_order_relaxed);
}

// The world goes on: the pacer learns, and the figures are kept.
void collector::note_end(cycle_report& report) noexcept {
  report.assist_time = assist_time_.load(std::memory_order_relaxed);
  report.stack_bytes = last_stack_bytes_ = stack_bytes_.load(std::memory_order_relaxed);
  report.global_bytes = global_bytes_.load(std::memory_order_relaxed);
  std::int64_t duration = report.ended_at - report.began_at;
  auto share = static_cast<std::int64_t>(background_share * static_cast<double>(duration) * report.procs);
  report.idle_cpu = std::max<std::int64_t>(report.background_cpu - share, 0);
  std::int64_t paused = report.first_stopping + report.first_pause + report.last_stopping + report.last_pause;
  pacer_report paced;
  {
    os::spin_guard guard(pace_lock_);
    std::uint64_t allocated = report.heap_at_end - report.live_before;
    pacer::progress rest;
    rest.allocated = rest.allocated_scannable = allocated - std::min(told_allocated_, allocated);
    rest.heap_scanned = report.scanned - std::min(told_scanned_, report.scanned);
    pace_.advance(rest);
    paced.triggered = pace_.triggered();
    paced.assist_ratio = pace_.assist_ratio();
    pace_.end_cycle(report.marked, report.assist_time, report.idle_cpu, duration, report.procs);
    all_assist_time_ += report.assist_time;
    assist_time_.store(0, std::memory_order_relaxed);
    update_limiter(os::nanotime());
  }
  set_allowance();
  if (options_.trace_pacer) {
    {
      os::spin_guard guard(pace_lock_);
      paced.cons_mark = pace_.cons_mark();
      paced.next_trigger = pace_.trigger();
      paced.next_goal = pace_.goal();
    }
    paced.is_limited = is_limited();
    trace_pacer(report, paced);
  }
  std::int64_t cpu = 0;
  {
    os::spin_guard guard(lock_);
    last_ = report;
    history_.cycles = report.number;
    ++history_.by_cause[static_cast<std::size_t>(report.cause)];
    history_.paused += paused;
    history_.cpu += report.background_cpu + report.assist_time;
    history_.assist_time += report.assist_time;
    history_.idle_cpu += std::min(report.idle_cpu, report.background_cpu);
    history_.stopped_cpu += paused * report.procs;
    history_.marked += report.marked;
    history_.scanned += report.scanned;
    history_.pauses[report.number % history::kept] = paused;
    history_.pause_ends[report.number % history::kept] = os::time_of_day();
    cpu = history_.cpu;
  }
  if (options_.trace_cycles) trace_cycle(report, cpu, first_begin_);
}

void collector::note_stop(bool at_begin, std::int64_t stopping, std::int64_t standing) noexcept {
  stops_.stopping.add(static_cast<std::uint64_t>(stopping));
  (at_begin ? stops_.begin : stops_.end).add(static_cast<std::uint64_t>(standing));
  stops_.total.add(static_cast<std::uint64_t>(stopping + standing));
}

void collector::sweep_all() noexcept {
  while (sweep_some(spans_at_once)) {
  }
}

}  // namespace rt::detail
