#include "daemon/config/memory_section.h"

#include <string>

namespace rtd::config {
namespace {

// Go's bounds are wider; beyond these nobody means it. Percent.
constexpr std::int64_t least_percent = 10;
constexpr std::int64_t most_percent = 1000;
constexpr std::int64_t percent_off = -1;
// Bytes. A task has spans of its own, of 8 KiB and more for each size of object: below this there is room for few.
constexpr std::uint64_t least_task_limit = std::uint64_t{1} << 20;
constexpr std::uint64_t least_memory_limit = std::uint64_t{16} << 20;  // as of limits.memory
constexpr std::uint64_t most_bytes = std::uint64_t{1} << 60;
// Counts, and lines (a second, or at once): more than anybody has.
constexpr std::int64_t most_green_threads = 100'000'000;
constexpr std::int64_t most_connections = 10'000'000;
constexpr std::int64_t most_log_lines = 1'000'000;
// CPUs' worth of time: with less a task would not even come to its end.
constexpr double least_cpus = 0.01;
constexpr double most_cpus = 4096;

// A size, or 0 for no limit.
bool read_limit(const value& from, std::uint64_t& to, std::uint64_t least, std::string_view zero) {
  const node& json = from.json();
  const bool none =
      (json.kind == node_kind::integer && json.integer == 0) || (json.kind == node_kind::string && json.text == "0");
  if (none) {
    to = 0;
    return true;
  }
  return from.read_size(to, least, most_bytes, zero);
}

}  // namespace

void read_gc(const value& from, gc_settings& to) {
  object_reader object(from);
  if (const auto percent = object.find("percent")) {
    const bool off = percent->json().kind == node_kind::string && percent->json().text == "off";
    if (off) {
      to.percent = percent_off;
    } else {
      percent->read_integer(to.percent, least_percent, most_percent, "\"off\" leaves only the memory limit");
    }
  }
  if (const auto limit = object.find("memory_limit")) {
    read_limit(*limit, to.memory_limit, least_memory_limit, "0 takes nine tenths of limits.memory");
  }
  object.refuse_unknown_keys();
}

void read_task_limits(const value& from, task_limit_settings& to) {
  object_reader object(from);
  const auto soft = object.find("heap_soft");
  const auto hard = object.find("heap_hard");
  constexpr std::string_view zero = "0 means without limit";
  const bool soft_good = !soft || read_limit(*soft, to.heap_soft, least_task_limit, zero);
  const bool hard_good = !hard || read_limit(*hard, to.heap_hard, least_task_limit, zero);
  if (soft_good && hard_good && to.heap_hard != 0 && to.heap_soft > to.heap_hard) {
    (soft ? *soft : *hard)
        .complain(
            "heap_soft " + std::to_string(to.heap_soft) + " is larger than heap_hard " + std::to_string(to.heap_hard),
            "above heap_soft the task is slowed down, at heap_hard its allocations fail: give the smaller first");
  }
  if (const auto count = object.find("green_threads")) {
    count->read_integer(to.green_threads, 0, most_green_threads, zero);
  }
  if (const auto count = object.find("connections")) count->read_integer(to.connections, 0, most_connections, zero);
  if (const auto rate = object.find("log_rate")) rate->read_integer(to.log_rate, 0, most_log_lines, zero);
  if (const auto burst = object.find("log_burst");
      burst && burst->read_integer(to.log_burst, 0, most_log_lines, "0 means ten times log_rate") &&
      to.log_burst != 0 && to.log_rate == 0) {
    burst->complain("log_burst has no effect without log_rate", "give log_rate as well, or remove it");
  }
  if (const auto cpus = object.find("cpus");
      cpus && cpus->read_number(to.cpus, 0, most_cpus, zero) && to.cpus != 0 && to.cpus < least_cpus) {
    cpus->complain("cpus is less than a hundredth of a CPU", "give at least 0.01, or 0 for no limit");
  }
  object.refuse_unknown_keys();
}

}  // namespace rtd::config
