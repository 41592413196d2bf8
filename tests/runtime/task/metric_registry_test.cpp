#include "runtime/task/metric_registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <stdexcept>
#include <thread>

namespace {

using rt::detail::metric_registry;
using rt::detail::metric_type;
using testing::HasSubstr;

constexpr double infinity = std::numeric_limits<double>::infinity();

rt::counter counter(metric_registry& in, std::string_view name, rt::metric_labels labels = {}) {
  return rt::counter(in.cell(metric_type::counter, name, "help", {}, std::move(labels)));
}
rt::gauge gauge(metric_registry& in, std::string_view name, rt::metric_labels labels = {}) {
  return rt::gauge(in.cell(metric_type::gauge, name, "help", {}, std::move(labels)));
}

std::string problem(const std::function<void()>& call) {
  try {
    call();
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "";
}

TEST(metric_registry, counts_only_upwards) {
  metric_registry registry;
  rt::counter jobs = counter(registry, "jobs_total");
  jobs.add();
  jobs.add(2.5);
  jobs.add(-1);
  jobs.add(0);
  jobs.add(infinity);
  jobs.add(std::numeric_limits<double>::quiet_NaN());
  EXPECT_EQ(jobs.value(), 3.5);
}

TEST(metric_registry, gauges_go_both_ways) {
  metric_registry registry;
  rt::gauge depth = gauge(registry, "depth");
  depth.set(5);
  depth.add(-7);
  EXPECT_EQ(depth.value(), -2);
}

TEST(metric_registry, histograms_fill_the_right_bucket) {
  metric_registry registry;
  auto cell = registry.cell(metric_type::histogram, "seconds", "help", {1, 2}, {});
  rt::histogram seconds(cell);
  for (double value : {0.5, 1.0, 1.5, 2.0, 2.5, -3.0}) seconds.observe(value);
  seconds.observe(infinity);
  seconds.observe(std::numeric_limits<double>::quiet_NaN());
  EXPECT_EQ(cell->buckets[0].load(), 3u);  // a bound belongs to its bucket
  EXPECT_EQ(cell->buckets[1].load(), 2u);
  EXPECT_EQ(cell->buckets[2].load(), 1u);
  EXPECT_EQ(cell->value.load(), 4.5);
}

TEST(metric_registry, same_name_and_labels_are_the_same_series) {
  metric_registry registry;
  counter(registry, "jobs_total", {{"a", "1"}, {"b", "2"}}).add();
  counter(registry, "jobs_total", {{"b", "2"}, {"a", "1"}}).add();
  counter(registry, "jobs_total", {{"a", "1"}}).add(10);
  auto families = registry.families();
  ASSERT_EQ(families.size(), 1u);
  ASSERT_EQ(families[0].series.size(), 2u);
  EXPECT_EQ(families[0].series[0]->labels, (rt::metric_labels{{"a", "1"}}));
  EXPECT_EQ(families[0].series[0]->cell->value.load(), 10);
  EXPECT_EQ(families[0].series[1]->cell->value.load(), 2);
}

TEST(metric_registry, refuses_bad_names) {
  metric_registry registry;
  for (const char* name : {"", "1up", "Jobs", "jobs-done", "jobs done", "jörg", "up", "rtd_x", "go_x", "process_x",
                           "x_sum", "x_count", "x_bucket", "x_total"}) {
    EXPECT_THAT(problem([&] { gauge(registry, name); }), HasSubstr("metric \"")) << name;
  }
  EXPECT_THAT(problem([&] { counter(registry, "jobs"); }), HasSubstr("ends in _total"));
  EXPECT_NE(problem([&] { gauge(registry, std::string(129, 'a')); }), "");
  EXPECT_TRUE(registry.families().empty());
}

TEST(metric_registry, refuses_bad_labels) {
  metric_registry registry;
  for (const char* label : {"", "1a", "a-b", "__name", "task", "plugin", "sandbox", "le"}) {
    EXPECT_THAT(problem([&] { gauge(registry, "depth", {{label, "x"}}); }), HasSubstr("label")) << label;
  }
  EXPECT_THAT(problem([&] { gauge(registry, "depth", {{"a", "1"}, {"a", "2"}}); }), HasSubstr("twice"));
  EXPECT_THAT(problem([&] { gauge(registry, "depth", rt::metric_labels(17, {"a", "1"})); }), HasSubstr("17 labels"));
}

TEST(metric_registry, cleans_values_of_labels) {
  metric_registry registry;
  gauge(registry, "depth", {{"a", "x\n\xff"}});
  EXPECT_EQ(registry.families()[0].series[0]->labels[0].second, "x\\n\\xff");
  gauge(registry, "depth", {{"a", std::string(10'000, 'x')}});
  EXPECT_LE(registry.families()[0].series[1]->labels[0].second.size(), metric_registry::most_value_bytes);
}

TEST(metric_registry, one_name_has_one_type_and_one_set_of_buckets) {
  metric_registry registry;
  counter(registry, "jobs_total");
  EXPECT_THAT(problem([&] {
                registry.cell(metric_type::histogram, "seconds", "", {1, 1}, {});
              }),
              HasSubstr("do not grow"));
  EXPECT_THAT(problem([&] { registry.cell(metric_type::histogram, "seconds", "", {-infinity}, {}); }),
              HasSubstr("finite"));
  EXPECT_NE(problem([&] { registry.cell(metric_type::histogram, "seconds", "", std::vector<double>(65, 1), {}); }), "");
  auto first = registry.cell(metric_type::histogram, "seconds", "", {1, 2, infinity}, {});
  EXPECT_EQ(registry.cell(metric_type::histogram, "seconds", "", {1, 2}, {}), first);
  EXPECT_THAT(problem([&] {
                registry.cell(metric_type::histogram, "seconds", "", {1, 3}, {});
              }),
              HasSubstr("other buckets"));
  EXPECT_THAT(problem([&] { gauge(registry, "seconds"); }), HasSubstr("is a histogram already"));
}

TEST(metric_registry, has_a_limit_of_series) {
  metric_registry registry;
  for (int i = 0; i < 1000; ++i) gauge(registry, "depth", {{"user", std::to_string(i)}});
  EXPECT_THAT(problem([&] { gauge(registry, "depth", {{"user", "one more"}}); }), HasSubstr("1000 series already"));
  EXPECT_THAT(problem([&] { gauge(registry, "other"); }), HasSubstr("1000 series already"));
  gauge(registry, "depth", {{"user", "5"}}).set(1);  // those that exist go on
  EXPECT_EQ(registry.families()[0].series.size(), 1000u);
}

TEST(metric_registry, many_threads_register_and_count) {
  metric_registry registry;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 5000; ++i) {
        counter(registry, "jobs_total", {{"kind", std::to_string(i % 10)}}).add();
        if (i % 500 == 0) registry.families();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  double total = 0;
  auto families = registry.families();
  for (const auto& series : families[0].series) total += series->cell->value.load();
  EXPECT_EQ(total, 20'000);
}

}  // namespace
