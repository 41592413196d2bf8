// Figures of the collected heap: read with distrust, and shown.
#include "daemon/metrics/heap_stats.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "daemon/metrics/render.h"
#include "tests/daemon/metrics/samples.h"

namespace rtd::metrics::test {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

namespace {

host_snapshot parsed(const json& answer) {
  std::string error;
  auto snapshot = parse_host_stats(answer, error);
  EXPECT_TRUE(snapshot) << error;
  return snapshot.value_or(host_snapshot{});
}

std::string error_with(const char* place, json value) {
  json answer = full_answer();
  answer[json::json_pointer(place)] = std::move(value);
  std::string error;
  return parse_host_stats(answer, error) ? "none" : error;
}

}  // namespace

TEST(heap_stats, reads_everything) {
  const host_snapshot snapshot = parsed(full_answer());
  const heap_figures& heap = snapshot.heap;
  EXPECT_EQ(heap.alloc_bytes, 20000000U);
  EXPECT_EQ(heap.reserved_bytes, heap.in_use_bytes + heap.idle_bytes);
  EXPECT_EQ(heap.committed_bytes(), 33554432U - 4194304U);
  EXPECT_EQ(heap.freed_bytes_total(), 70000000U);
  EXPECT_EQ(heap.objects, heap.allocated_objects_total - heap.freed_objects_total);
  EXPECT_EQ(heap.cycles_total, heap.cycles_growth_total + heap.forced_cycles_total + heap.cycles_period_total +
                                   heap.cycles_task_limit_total + heap.cycles_task_end_total);
  EXPECT_EQ(heap.percent, 100U);
  EXPECT_EQ(heap.memory_limit, 483183820U);
  EXPECT_TRUE(heap.is_marking);
  EXPECT_EQ(heap.stops.count(), 84U);
  EXPECT_DOUBLE_EQ(heap.end_pauses.sum, 0.03125);
  ASSERT_EQ(heap.size_classes.size(), 3U);
  EXPECT_EQ(heap.size_classes[1].size, 24U);
  const task_heap_figures& task = snapshot.tasks[0].heap;
  EXPECT_EQ(task.live_bytes, 1500000U);
  EXPECT_EQ(task.hard_limit, 8388608U);
  EXPECT_EQ(task.limit_failures_total, 2U);
}

TEST(heap_stats, what_is_off_or_without_limit_is_null) {
  json answer = full_answer();
  for (const char* name : {"percent", "memory_limit", "goal_bytes"}) answer["gc"][name] = nullptr;
  answer["tasks"][0]["heap"]["soft_limit"] = nullptr;
  const host_snapshot snapshot = parsed(answer);
  EXPECT_FALSE(snapshot.heap.percent || snapshot.heap.memory_limit || snapshot.heap.goal_bytes);
  EXPECT_FALSE(snapshot.tasks[0].heap.soft_limit);
  EXPECT_TRUE(to_json(snapshot.heap)["percent"].is_null());
  EXPECT_TRUE(to_json(snapshot.tasks[0].heap)["soft_limit_bytes"].is_null());
}

TEST(heap_stats, lies_are_named) {
  EXPECT_THAT(error_with("/heap/mallocs", -1), HasSubstr("heap.mallocs"));
  EXPECT_THAT(error_with("/heap/pause_quantiles", {1, 2}), HasSubstr("heap.pause_quantiles"));
  EXPECT_THAT(error_with("/heap/by_size", {{16, 1, 1}, {16, 1, 1}}), HasSubstr("growing sizes"));
  EXPECT_THAT(error_with("/heap/by_size", {{16, 1}}), HasSubstr("heap.by_size"));
  EXPECT_THAT(error_with("/heap/by_size", json(std::vector<json>(257, {16, 1, 1}))), HasSubstr("at most 256"));
  EXPECT_THAT(error_with("/gc/stop_buckets", {1, 2}), HasSubstr("gc.stop_buckets"));
  EXPECT_THAT(error_with("/gc/is_marking", 1), HasSubstr("gc.is_marking"));
  EXPECT_THAT(error_with("/gc/memory_limit", -1), HasSubstr("gc.memory_limit"));
  EXPECT_THAT(error_with("/gc/assist_seconds_total", -0.5), HasSubstr("gc.assist_seconds_total"));
  EXPECT_THAT(error_with("/tasks/0/heap/objects", "many"), HasSubstr("tasks[0].heap.objects"));
}

TEST(heap_stats, totals_do_not_go_back) {
  const host_snapshot before = parsed(full_answer());
  json answer = full_answer();
  answer["heap"]["mallocs"] = 5;
  answer["heap"]["heap_alloc"] = 5;
  answer["heap"]["by_size"][0][1] = 5;
  answer["gc"]["marked_bytes_total"] = 5;
  answer["gc"]["assist_seconds_total"] = 0;
  answer["gc"]["stop_buckets"][0] = 5;
  answer["tasks"][0]["heap"]["allocated_bytes_total"] = 5;
  answer["tasks"][0]["heap"]["live_bytes"] = 5;
  host_snapshot now = parsed(answer);
  keep_monotonic(now, before);
  EXPECT_EQ(now.heap.allocated_objects_total, before.heap.allocated_objects_total);
  EXPECT_EQ(now.heap.alloc_bytes, 5U) << "a gauge";
  EXPECT_EQ(now.heap.size_classes[0].allocated_objects_total, 500000U);
  EXPECT_EQ(now.heap.marked_bytes_total, before.heap.marked_bytes_total);
  EXPECT_EQ(now.heap.assist_seconds_total, before.heap.assist_seconds_total);
  EXPECT_EQ(now.heap.stops.counts[0], 80U);
  EXPECT_EQ(now.tasks[0].heap.allocated_bytes_total, 9000000U);
  EXPECT_EQ(now.tasks[0].heap.live_bytes, 5U);
  answer["tasks"][0]["started_at"] = 1700000500;
  now = parsed(answer);
  keep_monotonic(now, before);
  EXPECT_EQ(now.tasks[0].heap.allocated_bytes_total, 5U) << "another run";
}

TEST(heap_stats, are_on_the_page) {
  const std::string page = render(full_snapshot());
  for (const char* line : {
           "rtd_heap_live_bytes{sandbox=\"default\"} 18000000\n",
           "rtd_heap_allocation_size_bytes_bucket{sandbox=\"default\",le=\"16\"} 500000\n",
           "rtd_heap_allocation_size_bytes_bucket{sandbox=\"default\",le=\"65536\"} 600020\n",
           "rtd_heap_allocation_size_bytes_bucket{sandbox=\"default\",le=\"+Inf\"} 600029\n",
           "rtd_heap_alloc_failures_total{sandbox=\"default\",reason=\"task_limit\"} 2\n",
           "rtd_gc_cycles_total{sandbox=\"default\",trigger=\"task_end\"} 2\n",
           "rtd_gc_pause_seconds_count{sandbox=\"default\",phase=\"end\"} 42\n",
           "rtd_gc_phase{sandbox=\"default\",phase=\"mark\"} 1\n",
           "rtd_gc_growth_ratio{sandbox=\"default\"} 1\n",
           "rtd_task_heap_limit_bytes{sandbox=\"default\",plugin=\"hello\",task=\"greeter\",limit=\"hard\"} 8388608\n",
           "go_gc_duration_seconds{sandbox=\"default\",quantile=\"1\"} 0.0625\n",
           "go_gc_duration_seconds_count{sandbox=\"default\"} 42\n",
           "go_memstats_heap_inuse_bytes{sandbox=\"default\"} 25165824\n",
       }) {
    EXPECT_THAT(page, HasSubstr(line));
  }
  daemon_snapshot off = full_snapshot();
  off.sandboxes[0].host->heap.percent.reset();
  off.sandboxes[0].host->heap.goal_bytes.reset();
  const std::string without = render(off);
  EXPECT_THAT(without, Not(HasSubstr("rtd_heap_goal_bytes")));
  EXPECT_THAT(without, Not(HasSubstr("rtd_gc_growth_ratio")));
  EXPECT_THAT(without, HasSubstr("go_gc_gogc_percent{sandbox=\"default\"} -1\n"));
}

}  // namespace rtd::metrics::test
