#include "daemon/metrics/names.h"

#include <gtest/gtest.h>

#include <string>

namespace rtd::metrics::test {

TEST(names, of_metrics) {
  EXPECT_TRUE(is_metric_name("probe_latency_seconds", metric_type::gauge));
  EXPECT_TRUE(is_metric_name("_x9", metric_type::histogram));
  EXPECT_TRUE(is_metric_name("jobs_total", metric_type::counter));
  EXPECT_FALSE(is_metric_name("jobs", metric_type::counter));
  EXPECT_FALSE(is_metric_name("jobs_total", metric_type::gauge));
  EXPECT_FALSE(is_metric_name("jobs_total", metric_type::histogram));
  for (const char* wrong :
       {"", "9x", "a-b", "a.b", "a b", "A", "a:b", "\xc3\xa4", "x{", "a\nb", "jobs_count", "jobs_sum", "jobs_bucket"}) {
    EXPECT_FALSE(is_metric_name(wrong, metric_type::gauge)) << wrong;
  }
  EXPECT_TRUE(is_metric_name(std::string(200, 'a'), metric_type::gauge));
  EXPECT_FALSE(is_metric_name(std::string(201, 'a'), metric_type::gauge));
}

TEST(names, that_are_the_daemon_s) {
  for (const char* name : {"rtd_x", "go_goroutines", "process_cpu_seconds_total", "promhttp_x", "scrape_x", "up"}) {
    EXPECT_TRUE(is_reserved_name(name)) << name;
  }
  for (const char* name : {"rtdx", "gone_total", "processes", "uptime_seconds", "rt_x"})
    EXPECT_FALSE(is_reserved_name(name)) << name;
}

TEST(names, of_labels) {
  for (const char* name : {"target", "_a", "Code", "x9"}) EXPECT_TRUE(is_label_name(name)) << name;
  for (const char* name :
       {"", "9", "__name__", "a-b", "le", "quantile", "sandbox", "plugin", "task", "a\"b", "\xc3\xa4"}) {
    EXPECT_FALSE(is_label_name(name)) << name;
  }
}

}  // namespace rtd::metrics::test
