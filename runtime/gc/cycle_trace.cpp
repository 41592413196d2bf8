// The line has Go's fields in Go's order, so that what reads Go's reads it:
//
//   gc 3 @0.512s 2%: 0.011+1.2+0.031 ms clock, 0.022+0.10/1.1/0.3+0.062 ms cpu, 4->5->2 MB, 5 MB goal, 0 MB stacks,
//   1 MB globals, 2 P
//
// number, begin, part of all CPU time so far; the first stop, marking, the last stop; the same as CPU time, marking by
// helpers, by the team, and beyond the team's share in idle time; the heap at the begin, at the end of marking, live.
// "(forced)" follows when rt::gc was called, and the cause as well when it was another one than the heap's growth. What
// a stop waited until all had stopped is part of it, as in Go, and stands in brackets behind it.
#include "runtime/gc/cycle_trace.h"

#include <unistd.h>

#include <cstdio>

namespace rt::detail {

namespace {

double ms(std::int64_t nanoseconds) noexcept { return static_cast<double>(nanoseconds) / 1e6; }
unsigned long mb(std::uint64_t bytes) noexcept { return static_cast<unsigned long>(bytes >> 20); }

void write_line(const char* line, int length) noexcept {
  if (length > 0) static_cast<void>(!write(STDERR_FILENO, line, static_cast<std::size_t>(length)));
}

const char* why(cycle_cause cause) noexcept {
  switch (cause) {
    case cycle_cause::growth:
      return "";
    case cycle_cause::forced:
      return " (forced)";
    case cycle_cause::period:
      return " (period)";
    case cycle_cause::task_limit:
      return " (task limit)";
    case cycle_cause::task_end:
      return " (task end)";
  }
  return "";
}

}  // namespace

// All of the heap in bytes: triggered at, live and allocated when marking was over, and the goal; then the next
// cycle's.
void trace_pacer(const cycle_report& report, const pacer_report& pace) noexcept {
  char line[512];
  auto number = [](std::uint64_t value) { return static_cast<unsigned long>(value); };
  int length = std::snprintf(
      line, sizeof line,
      "pacer: gc %lu triggered at %lu, marked %lu and heap %lu of goal %lu; looked into %lu, assist ratio %.3f, "
      "cons/mark %.3f%s; next at %lu, goal %lu\n",
      number(report.number), number(pace.triggered), number(report.marked), number(report.heap_at_end),
      number(report.goal), number(report.scanned), pace.assist_ratio, pace.cons_mark,
      pace.is_limited ? ", held to its share of the CPU" : "", number(pace.next_trigger), number(pace.next_goal));
  write_line(line, length);
}

void trace_cycle(const cycle_report& report, std::int64_t cpu, std::int64_t since) noexcept {
  std::int64_t first = report.first_stopping + report.first_pause;
  std::int64_t last = report.last_stopping + report.last_pause;
  std::int64_t marking = report.ended_at - report.began_at - first - last;
  double all = static_cast<double>(report.ended_at - since) * report.procs;
  double percent = all > 0 ? 100 * static_cast<double>(cpu) / all : 0;
  char line[512];
  int length = std::snprintf(
      line, sizeof line,
      "gc %lu @%.3fs %.0f%%: %.3f+%.3f+%.3f ms clock, %.3f+%.3f/%.3f/%.3f+%.3f ms cpu, %lu->%lu->%lu MB, %lu MB goal, "
      "%lu MB stacks, %lu MB globals, %d P [stopping %.3f+%.3f ms, attempts %u]%s\n",
      static_cast<unsigned long>(report.number), static_cast<double>(report.began_at - since) / 1e9, percent, ms(first),
      ms(marking), ms(last), ms(first * report.procs), ms(report.assist_time),
      ms(report.background_cpu - report.idle_cpu), ms(report.idle_cpu), ms(last * report.procs), mb(report.live_before),
      mb(report.heap_at_end), mb(report.marked), mb(report.goal), mb(report.stack_bytes), mb(report.global_bytes),
      report.procs, ms(report.first_stopping), ms(report.last_stopping), report.attempts + 1, why(report.cause));
  write_line(line, length);
}

}  // namespace rt::detail
