#include "daemon/metrics/heap_stats.h"

#include <algorithm>
#include <string>

#include "daemon/metrics/json_reader.h"

namespace rtd::metrics {

namespace {

using nlohmann::json;

// A figure: what the host calls it, what the answers of the control socket call it, and whether it only grows.
template <class Figures, class Number>
struct named_figure {
  const char* host_name;
  const char* shown_name;
  Number Figures::*field;
  bool is_total = false;
};
using heap_count = named_figure<heap_figures, std::uint64_t>;
using heap_number = named_figure<heap_figures, double>;
using task_count = named_figure<task_heap_figures, std::uint64_t>;

constexpr heap_count memory_counts[] = {
    {"heap_alloc", "alloc_bytes", &heap_figures::alloc_bytes},
    {"heap_sys", "reserved_bytes", &heap_figures::reserved_bytes},
    {"heap_idle", "idle_bytes", &heap_figures::idle_bytes},
    {"heap_inuse", "in_use_bytes", &heap_figures::in_use_bytes},
    {"heap_released", "released_bytes", &heap_figures::released_bytes},
    {"heap_objects", "objects", &heap_figures::objects},
    {"total_alloc", "allocated_bytes_total", &heap_figures::allocated_bytes_total, true},
    {"mallocs", "allocated_objects_total", &heap_figures::allocated_objects_total, true},
    {"frees", "freed_objects_total", &heap_figures::freed_objects_total, true},
    {"stack_inuse", "stack_in_use_bytes", &heap_figures::stack_in_use_bytes},
    {"stack_sys", "stack_reserved_bytes", &heap_figures::stack_reserved_bytes},
    {"mspan_inuse", "span_table_in_use_bytes", &heap_figures::span_table_in_use_bytes},
    {"mspan_sys", "span_table_bytes", &heap_figures::span_table_bytes},
    {"mcache_inuse", "cache_in_use_bytes", &heap_figures::cache_in_use_bytes},
    {"mcache_sys", "cache_bytes", &heap_figures::cache_bytes},
    {"gc_sys", "gc_table_bytes", &heap_figures::gc_table_bytes},
    {"sys", "system_bytes", &heap_figures::system_bytes},
    {"num_gc", "cycles_total", &heap_figures::cycles_total, true},
};

constexpr heap_count collector_counts[] = {
    {"live_bytes", "live_bytes", &heap_figures::live_bytes},
    {"scanned_stack_bytes", "scanned_stack_bytes", &heap_figures::scanned_stack_bytes},
    {"scanned_global_bytes", "scanned_global_bytes", &heap_figures::scanned_global_bytes},
    {"table_bytes", "metadata_bytes", &heap_figures::metadata_bytes},
    {"scavenged_bytes_total", "scavenged_bytes_total", &heap_figures::scavenged_bytes_total, true},
    {"limit_failures_total", "limit_failures_total", &heap_figures::limit_failures_total, true},
    {"memory_failures_total", "memory_failures_total", &heap_figures::memory_failures_total, true},
    {"large_objects_total", "large_objects_total", &heap_figures::large_objects_total, true},
    {"large_objects_freed_total", "large_objects_freed_total", &heap_figures::large_objects_freed_total, true},
    {"cycles_forced_total", "cycles_forced_total", &heap_figures::forced_cycles_total, true},
    {"cycles_growth_total", "cycles_growth_total", &heap_figures::cycles_growth_total, true},
    {"cycles_period_total", "cycles_period_total", &heap_figures::cycles_period_total, true},
    {"cycles_task_limit_total", "cycles_task_limit_total", &heap_figures::cycles_task_limit_total, true},
    {"cycles_task_end_total", "cycles_task_end_total", &heap_figures::cycles_task_end_total, true},
    {"marked_bytes_total", "marked_bytes_total", &heap_figures::marked_bytes_total, true},
    {"scanned_bytes_total", "scanned_bytes_total", &heap_figures::scanned_bytes_total, true},
};

constexpr heap_number collector_numbers[] = {
    {"scavenger_seconds_total", "scavenger_seconds_total", &heap_figures::scavenger_seconds_total, true},
    {"background_seconds_total", "background_seconds_total", &heap_figures::background_seconds_total, true},
    {"idle_seconds_total", "idle_seconds_total", &heap_figures::idle_seconds_total, true},
    {"assist_seconds_total", "assist_seconds_total", &heap_figures::assist_seconds_total, true},
    {"pause_seconds_total", "pause_seconds_total", &heap_figures::pause_seconds_total, true},
};

constexpr task_count task_counts[] = {
    {"allocated_bytes_total", "allocated_bytes_total", &task_heap_figures::allocated_bytes_total, true},
    {"allocated_objects_total", "allocated_objects_total", &task_heap_figures::allocated_objects_total, true},
    {"freed_bytes_total", "freed_bytes_total", &task_heap_figures::freed_bytes_total, true},
    {"freed_objects_total", "freed_objects_total", &task_heap_figures::freed_objects_total, true},
    {"live_bytes", "live_bytes", &task_heap_figures::live_bytes},
    {"objects", "objects", &task_heap_figures::objects},
    {"in_use_bytes", "in_use_bytes", &task_heap_figures::in_use_bytes},
    {"table_bytes", "table_bytes", &task_heap_figures::table_bytes},
    {"limit_waits_total", "limit_waits_total", &task_heap_figures::limit_waits_total, true},
    {"limit_failures_total", "limit_failures_total", &task_heap_figures::limit_failures_total, true},
};

template <class Figures, class Number>
std::uint64_t read_figure(const json& object, const std::string& where, const named_figure<Figures, Number>& one) {
  return to_count(member(object, where, one.host_name), where + "." + one.host_name);
}

bool read_flag(const json& object, const std::string& where, const char* name) {
  const json& value = member(object, where, name);
  if (!value.is_boolean()) throw bad_answer(where + "." + name, "true or false");
  return value.get<bool>();
}

std::optional<std::uint64_t> read_optional(const json& object, const std::string& where, const char* name) {
  const json& value = member(object, where, name);
  if (value.is_null()) return std::nullopt;
  // Limits may be of any size; beyond what a double counts in ones nobody sees the difference.
  return to_count(value, where + "." + name, std::uint64_t{1} << 62U);
}

histogram_data read_pauses(const json& object, const std::string& name, const std::vector<double>& bounds) {
  const std::string where = "gc." + name + "_buckets";
  histogram_data result;
  result.bounds = bounds;
  for (const json& count : array_member(object, "gc", (name + "_buckets").c_str(), bounds.size() + 1)) {
    result.counts.push_back(to_count(count, where));
  }
  if (result.counts.size() != bounds.size() + 1) throw bad_answer(where, "one longer than duration_bounds");
  result.sum = to_number(member(object, "gc", (name + "_seconds_sum").c_str()), "gc." + name + "_seconds_sum", 0);
  return result;
}

template <class Number>
void at_least(Number& now, const Number& before) {
  now = std::max(now, before);
}

void at_least(histogram_data& now, const histogram_data& before) {
  if (now.bounds != before.bounds) return;
  for (std::size_t i = 0; i < std::min(now.counts.size(), before.counts.size()); ++i) {
    at_least(now.counts[i], before.counts[i]);
  }
  at_least(now.sum, before.sum);
}

json or_null(const std::optional<std::uint64_t>& value) { return value ? json(*value) : json(); }

}  // namespace

heap_figures read_heap(const json& answer, const std::vector<double>& bounds) {
  heap_figures figures;
  const json& memory = member(answer, "the answer", "heap");
  for (const heap_count& one : memory_counts) figures.*one.field = read_figure(memory, "heap", one);
  figures.last_cycle_timestamp_seconds =
      to_number(member(memory, "heap", "last_gc_seconds"), "heap.last_gc_seconds", 0);
  figures.cpu_fraction = to_number(member(memory, "heap", "gc_cpu_fraction"), "heap.gc_cpu_fraction", 0);
  figures.pause_total_seconds = to_number(member(memory, "heap", "pause_total_seconds"), "heap.pause_total_seconds", 0);
  const json& quantiles = array_member(memory, "heap", "pause_quantiles", figures.pause_quantiles.size());
  if (quantiles.size() != figures.pause_quantiles.size()) throw bad_answer("heap.pause_quantiles", "five numbers");
  for (std::size_t i = 0; i < quantiles.size(); ++i) {
    figures.pause_quantiles[i] = to_number(quantiles[i], "heap.pause_quantiles", 0);
  }
  for (const json& one : array_member(memory, "heap", "by_size", max_size_classes)) {
    const std::string where = "heap.by_size";
    if (!one.is_array() || one.size() != 3) throw bad_answer(where, "a list of [size, mallocs, frees]");
    size_class_figures read{to_count(one[0], where), to_count(one[1], where), to_count(one[2], where)};
    if (!figures.size_classes.empty() && read.size <= figures.size_classes.back().size) {
      throw bad_answer(where, "a list of growing sizes");
    }
    figures.size_classes.push_back(read);
  }

  const json& collector = member(answer, "the answer", "gc");
  for (const heap_count& one : collector_counts) figures.*one.field = read_figure(collector, "gc", one);
  for (const heap_number& one : collector_numbers) {
    figures.*one.field = to_number(member(collector, "gc", one.host_name), std::string("gc.") + one.host_name, 0);
  }
  figures.percent = read_optional(collector, "gc", "percent");
  figures.memory_limit = read_optional(collector, "gc", "memory_limit");
  figures.goal_bytes = read_optional(collector, "gc", "goal_bytes");
  figures.is_marking = read_flag(collector, "gc", "is_marking");
  figures.is_limited = read_flag(collector, "gc", "is_limited");
  figures.stops = read_pauses(collector, "stop", bounds);
  figures.begin_pauses = read_pauses(collector, "begin_pause", bounds);
  figures.end_pauses = read_pauses(collector, "end_pause", bounds);
  figures.total_pauses = read_pauses(collector, "total_pause", bounds);
  return figures;
}

task_heap_figures read_task_heap(const json& object, const std::string& where) {
  task_heap_figures figures;
  for (const task_count& one : task_counts) figures.*one.field = read_figure(object, where, one);
  figures.soft_limit = read_optional(object, where, "soft_limit");
  figures.hard_limit = read_optional(object, where, "hard_limit");
  return figures;
}

void keep_monotonic(heap_figures& now, const heap_figures& before) {
  for (const heap_count& one : memory_counts) {
    if (one.is_total) at_least(now.*one.field, before.*one.field);
  }
  for (const heap_count& one : collector_counts) {
    if (one.is_total) at_least(now.*one.field, before.*one.field);
  }
  for (const heap_number& one : collector_numbers) at_least(now.*one.field, before.*one.field);
  at_least(now.pause_total_seconds, before.pause_total_seconds);
  for (histogram_data heap_figures::*one :
       {&heap_figures::stops, &heap_figures::begin_pauses, &heap_figures::end_pauses, &heap_figures::total_pauses}) {
    at_least(now.*one, before.*one);
  }
  for (std::size_t i = 0; i < std::min(now.size_classes.size(), before.size_classes.size()); ++i) {
    if (now.size_classes[i].size != before.size_classes[i].size) continue;
    at_least(now.size_classes[i].allocated_objects_total, before.size_classes[i].allocated_objects_total);
    at_least(now.size_classes[i].freed_objects_total, before.size_classes[i].freed_objects_total);
  }
}

void keep_monotonic(task_heap_figures& now, const task_heap_figures& before) {
  for (const task_count& one : task_counts) {
    if (one.is_total) at_least(now.*one.field, before.*one.field);
  }
}

json to_json(const heap_figures& figures) {
  json result = json::object();
  for (const heap_count& one : memory_counts) result[one.shown_name] = figures.*one.field;
  for (const heap_count& one : collector_counts) result[one.shown_name] = figures.*one.field;
  for (const heap_number& one : collector_numbers) result[one.shown_name] = figures.*one.field;
  result["committed_bytes"] = figures.committed_bytes();
  result["freed_bytes_total"] = figures.freed_bytes_total();
  result["percent"] = or_null(figures.percent);
  result["memory_limit_bytes"] = or_null(figures.memory_limit);
  result["goal_bytes"] = or_null(figures.goal_bytes);
  result["is_marking"] = figures.is_marking;
  result["is_limited"] = figures.is_limited;
  result["cpu_fraction"] = figures.cpu_fraction;
  result["last_cycle_at_seconds"] =
      figures.last_cycle_timestamp_seconds > 0 ? json(figures.last_cycle_timestamp_seconds) : json();
  result["pause_quantiles_seconds"] = figures.pause_quantiles;
  const auto histogram = [](const histogram_data& data) {
    return json{{"bounds_seconds", data.bounds}, {"counts", data.counts}, {"sum_seconds", data.sum}};
  };
  result["stops"] = histogram(figures.stops);
  result["begin_pauses"] = histogram(figures.begin_pauses);
  result["end_pauses"] = histogram(figures.end_pauses);
  result["total_pauses"] = histogram(figures.total_pauses);
  return result;
}

json to_json(const task_heap_figures& figures) {
  json result = json::object();
  for (const task_count& one : task_counts) result[one.shown_name] = figures.*one.field;
  result["soft_limit_bytes"] = or_null(figures.soft_limit);
  result["hard_limit_bytes"] = or_null(figures.hard_limit);
  return result;
}

json to_json(const std::vector<size_class_figures>& classes) {
  json result = json::array();
  for (const size_class_figures& one : classes) {
    if (one.allocated_objects_total == 0) continue;
    result.push_back(
        {{"size", one.size},
         {"allocated_objects_total", one.allocated_objects_total},
         {"freed_objects_total", one.freed_objects_total},
         {"objects", one.allocated_objects_total - std::min(one.freed_objects_total, one.allocated_objects_total)}});
  }
  return result;
}

}  // namespace rtd::metrics
