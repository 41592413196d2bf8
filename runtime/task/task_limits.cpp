// The part of a task that its limits concern (task_state.h).
#include "runtime/task/task_limits.h"

#include <cstdio>
#include <utility>

#include "runtime/os/clock.h"
#include "runtime/task/task_state.h"

namespace rt::detail {

namespace {

// One that is met again and again is told once, until it has not been met for so long, in nanoseconds: the metrics
// count each time.
constexpr std::int64_t quiet_between_tellings = 10'000'000'000;
// How often it is told how many lines were dropped, in nanoseconds.
constexpr std::int64_t between_drop_reports = 1'000'000'000;

std::string text_of(limit_kind kind, const task_limit_figures& now) {
  switch (kind) {
    case limit_kind::green_threads:
      return "the task has reached limits.green_threads, " + std::to_string(now.green_threads_limit) +
             ": rt::go throws rt::out_of_green_threads; start fewer at a time, or raise the limit";
    case limit_kind::connections:
      return "the task has reached limits.connections, " + std::to_string(now.connections_limit) +
             ": accept waits until one is closed, dial fails; close connections sooner, or raise the limit";
    case limit_kind::log_rate:
      return "the task logs more than limits.log_rate, " + std::to_string(now.log_rate) +
             " lines a second: lines are dropped; log less, or raise the limit";
    case limit_kind::cpus: {
      char cpus[32];
      std::snprintf(cpus, sizeof cpus, "%g", now.cpus);
      return "the task has used limits.cpus, " + std::string(cpus) +
             " of a CPU's time: it waits for the rest of each 100 ms; compute less, or raise the limit";
    }
  }
  return {};
}

}  // namespace

const char* to_text(limit_kind kind) noexcept {
  switch (kind) {
    case limit_kind::green_threads:
      return "green_threads";
    case limit_kind::connections:
      return "connections";
    case limit_kind::log_rate:
      return "log_rate";
    case limit_kind::cpus:
      return "cpus";
  }
  return "";
}

void task_state::set_limits(const task_limits& to) {
  // Most tasks have no limits, and many never allocate: they need no tables for that.
  const bool has_none = to.heap_soft == SIZE_MAX && to.heap_hard == SIZE_MAX;
  if (!has_none || group_.heap.get() != nullptr) group_.heap.set_limits(to.heap_soft, to.heap_hard);
  group_.set_green_thread_limit(to.green_threads);
  group_.connections->set_most(to.connections);
  log_rate_.set(to.log_rate, to.log_burst);
  // One that is to end needs CPU time for that, and its time for it is bounded.
  if (!stopping()) group_.set_cpu_quota(to.cpus);
}

task_limit_figures task_state::limit_figures() const noexcept {
  task_limit_figures now;
  now.green_threads_limit = group_.green_threads.most.load(std::memory_order_relaxed);
  now.green_threads_refused = group_.green_threads.refused.load(std::memory_order_relaxed);
  now.connections = group_.connections->open();
  now.connections_limit = group_.connections->most();
  now.connections_refused = group_.connections->refused();
  now.accept_waits = group_.connections->waits();
  now.log_rate = log_rate_.per_second();
  now.log_lines_dropped = lines_dropped_.load(std::memory_order_relaxed);
  now.cpus = group_.share.quota.cpus.load(std::memory_order_relaxed);
  const throttling throttled = group_.throttled();
  now.throttled_seconds = throttled.seconds;
  now.throttles = throttled.count;
  return now;
}

void task_state::take_met_limit(group& of) noexcept {
  auto& self = *static_cast<task_state*>(of.owner);
  if (self.on_limit_) self.on_limit_();
}

void task_state::drop_line() noexcept {
  // All seq_cst, as in report_drops: either the mark is found unset here, or the line is counted there.
  lines_dropped_.fetch_add(1, std::memory_order_seq_cst);
  if (drops_to_report_.load(std::memory_order_seq_cst)) return;  // before the exchange: a flood has many writers
  if (!drops_to_report_.exchange(true, std::memory_order_seq_cst)) group_.limits.add(group_, limit_kind::log_rate);
}

std::vector<met_limit> task_state::take_met_limits() {
  std::vector<met_limit> told;
  const std::uint32_t met = group_.limits.take();
  if (met == 0) return told;
  const std::int64_t now = os::nanotime();
  const task_limit_figures figures = limit_figures();
  for (const limit_kind kind : all_limit_kinds) {
    if ((met & met_limits::bit(kind)) == 0) continue;
    const std::int64_t last = std::exchange(limit_met_at_[static_cast<std::size_t>(kind)], now);
    if (last != 0 && now - last < quiet_between_tellings) continue;
    told.push_back({kind, text_of(kind, figures)});
  }
  return told;
}

std::int64_t task_state::report_drops(bool at_once) {
  if (!drops_to_report_.load(std::memory_order_relaxed)) return INT64_MAX;
  const std::int64_t now = os::nanotime();
  const std::int64_t due = drops_reported_at_ == 0 ? now : drops_reported_at_ + between_drop_reports;
  if (!at_once && due > now) return due;
  drops_reported_at_ = now;
  drops_to_report_.store(false, std::memory_order_seq_cst);
  const std::uint64_t dropped = lines_dropped_.load(std::memory_order_seq_cst);
  const std::uint64_t fresh = dropped - drops_reported_;
  drops_reported_ = dropped;
  if (fresh != 0) {
    write_line(log_level::warn, std::to_string(fresh) + (fresh == 1 ? " line was" : " lines were") +
                                    " dropped: limits.log_rate is " + std::to_string(log_rate_.per_second()) +
                                    " lines a second, and " + std::to_string(log_rate_.burst()) + " at once");
  }
  return INT64_MAX;
}

}  // namespace rt::detail
