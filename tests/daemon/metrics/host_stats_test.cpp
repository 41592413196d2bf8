// What a host answers is taken apart with distrust.
#include "daemon/metrics/host_stats.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "tests/daemon/metrics/samples.h"

namespace rtd::metrics::test {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

namespace {

std::string error_of(const json& answer) {
  std::string error;
  return parse_host_stats(answer, error) ? "none" : error;
}

host_snapshot parsed(const json& answer) {
  std::string error;
  auto snapshot = parse_host_stats(answer, error);
  EXPECT_TRUE(snapshot) << error;
  return snapshot.value_or(host_snapshot{});
}

json with_metrics(std::vector<json> metrics) {
  json answer = full_answer();
  answer["metrics"] = json::array();
  for (json& metric : metrics) answer["metrics"].push_back(std::move(metric));
  return answer;
}

json gauge(const std::string& name, json labels = json::object(), json value = 1) {
  return {{"task", "greeter"}, {"plugin", "hello"},
          {"name", name},      {"help", "h"},
          {"type", "gauge"},   {"series", {{{"labels", std::move(labels)}, {"value", std::move(value)}}}}};
}

}  // namespace

TEST(host_stats, reads_everything) {
  const host_snapshot snapshot = parsed(full_answer());
  EXPECT_EQ(snapshot.runtime.procs, 2u);
  EXPECT_EQ(snapshot.runtime.threads_frozen, 4u);
  EXPECT_EQ(snapshot.runtime.threads_ended_total, 22u);
  EXPECT_EQ(snapshot.runtime.threads_refused_total, 13u);
  EXPECT_EQ(snapshot.runtime.waiting, 94u);
  EXPECT_EQ(snapshot.runtime.preempt_signals_total, 26u);
  EXPECT_EQ(snapshot.runtime.freezes_total, 25u);
  EXPECT_EQ(snapshot.runtime.retakes_total, 14u);
  EXPECT_EQ(snapshot.runtime.busy_seconds_total, (std::vector<double>{12.5, 7.25}));
  EXPECT_EQ(snapshot.runtime.mutex_wait_seconds_total, 4.5);
  EXPECT_EQ(snapshot.runtime.runtime_lock_wait_seconds_total, 0.125);
  EXPECT_EQ(snapshot.runtime.run_queue_wait.count(), 18u);
  EXPECT_EQ(snapshot.runtime.slice.count(), 32u);
  EXPECT_EQ(snapshot.runtime.slice.sum, 1.25);
  EXPECT_EQ(snapshot.runtime.stack_guard, "guard_install");
  EXPECT_EQ(snapshot.runtime.net_events_total, 2000u);
  ASSERT_EQ(snapshot.tasks.size(), 1u);
  EXPECT_EQ(snapshot.find_task("greeter")->status, "40 clients");
  EXPECT_EQ(snapshot.find_task("greeter")->queue_waits, 8u);
  EXPECT_EQ(snapshot.find_task("greeter")->queue_wait_seconds, 0.125);
  EXPECT_EQ(snapshot.find_task("other"), nullptr);
  ASSERT_EQ(snapshot.metrics.size(), 3u);
  EXPECT_EQ(snapshot.metrics[0].series[1].value, 3);
  EXPECT_EQ(snapshot.metrics[2].series[0].distribution.counts, (std::vector<std::uint64_t>{4, 5, 1}));
  EXPECT_EQ(snapshot.logs_dropped_total, 5u);
  EXPECT_EQ(snapshot.malloc_arena_bytes, 2000000u);
  EXPECT_TRUE(snapshot.series_dropped_total.empty());
}

TEST(host_stats, every_field_must_be_there_and_of_its_type) {
  // Each member of the answer, at every depth, is taken out, and replaced by a value of each type.
  const json right = full_answer();
  std::vector<json::json_pointer> places;
  const std::function<void(const json&, const json::json_pointer&)> walk = [&](const json& value,
                                                                               const json::json_pointer& at) {
    for (const auto& [key, member] : value.items()) {
      const json::json_pointer place = value.is_array() ? at / std::stoul(key) : at / key;
      if (value.is_object() && at.back() != "labels") places.push_back(place);
      if (member.is_structured()) walk(member, place);
    }
  };
  for (const auto& [key, member] : right.items()) {
    places.emplace_back("/" + key);
    if (member.is_structured()) walk(member, json::json_pointer("/" + key));
  }
  ASSERT_GT(places.size(), 60u);
  for (const json::json_pointer& place : places) {
    json answer = right;
    answer[place.parent_pointer()].erase(place.back());
    EXPECT_THAT(error_of(answer), HasSubstr(place.back())) << place;
    for (const json& wrong : {json(true), json::array({json::object()}), json("text"), json::parse("{\"a\":[]}")}) {
      answer = right;
      if (wrong.type() == answer[place].type()) continue;
      answer[place] = wrong;
      EXPECT_NE(error_of(answer), "none") << place << " = " << wrong;
    }
  }
  for (const json& wrong : {json(), json(1), json::array(), json("x")}) EXPECT_NE(error_of(wrong), "none");
}

TEST(host_stats, numbers_must_be_in_range) {
  const auto with = [](const char* place, json value) {
    json answer = full_answer();
    answer[json::json_pointer(place)] = std::move(value);
    return error_of(answer);
  };
  EXPECT_EQ(with("/runtime/procs", -1), "runtime.procs is not a whole number within its range");
  EXPECT_NE(with("/runtime/switches_total", 1.5), "none");
  EXPECT_NE(with("/runtime/switches_total", 18446744073709551615ULL), "none");
  EXPECT_EQ(with("/runtime/switches_total", 9007199254740992ULL), "none");
  EXPECT_NE(with("/runtime/busy_seconds_total/0", -0.1), "none");
  EXPECT_NE(with("/runtime/busy_seconds_total/0", std::numeric_limits<double>::infinity()), "none");
  EXPECT_NE(with("/runtime/busy_seconds_total/0", std::nan("")), "none");
  EXPECT_NE(with("/runtime/stack_guard", "none"), "none");
  EXPECT_NE(with("/duration_bounds", {0.1, 0.1, 1.0}), "none");
  EXPECT_NE(with("/duration_bounds", {0.1, 0.2}), "none") << "one bucket too many";
  EXPECT_NE(with("/runtime/local_queue_lengths", json(std::vector<int>(1025, 0))), "none");
  EXPECT_NE(with("/tasks/0/id", "../etc"), "none");
  EXPECT_NE(with("/tasks/0/cpu_seconds", -1), "none");
  EXPECT_NE(with("/tasks/0/started_at", nullptr), "none");
  json twice = full_answer();
  twice["tasks"].push_back(twice["tasks"][0]);
  EXPECT_EQ(error_of(twice), "tasks[1].id is not different from those before");
}

TEST(host_stats, text_is_cleaned_and_cut) {
  json answer = full_answer();
  answer["tasks"][0]["status"] = "red \x1b[31m" + std::string(500, 'x');
  const host_snapshot snapshot = parsed(answer);
  EXPECT_EQ(snapshot.tasks[0].status.find('\x1b'), std::string::npos);
  EXPECT_LE(snapshot.tasks[0].status.size(), 200u);
  answer["tasks"][0]["status"] = std::string(9000, 'x');
  EXPECT_THAT(error_of(answer), HasSubstr("tasks[0].status is not a string of at most"));
}

TEST(host_stats, what_a_plugin_gets_wrong_costs_only_its_series) {
  json bad_counter = gauge("negative_total", json::object(), -1);
  bad_counter["type"] = "counter";
  json null_counter = gauge("null_total", json::object(), nullptr);
  null_counter["type"] = "counter";
  json two_alike = gauge("two_alike");
  two_alike["series"].push_back(two_alike["series"][0]);
  json many_labels = json::object();
  for (int i = 0; i < 17; ++i) many_labels["l" + std::to_string(i)] = "x";
  const host_snapshot snapshot =
      parsed(with_metrics({gauge("rtd_fake"), gauge("go_goroutines"), gauge("process_x"), gauge("up"), gauge("Upper"),
                           gauge("a-b"), gauge("x_total"), gauge("fine"), gauge("fine"),
                           gauge("with_le", {{"le", "1"}}), gauge("with_task", {{"task", "other"}}),
                           gauge("reserved_label", {{"__name__", "x"}}), gauge("many", many_labels), bad_counter,
                           null_counter, two_alike, gauge("unknown_value", json::object(), nullptr)}));
  std::vector<std::string> kept;
  for (const task_metric& metric : snapshot.metrics) kept.push_back(metric.name);
  EXPECT_THAT(kept, ElementsAre("fine", "two_alike", "unknown_value"));
  EXPECT_TRUE(std::isnan(snapshot.metrics[2].series[0].value));
  EXPECT_THAT(snapshot.series_dropped_total, ElementsAre(Pair("duplicate", 2), Pair("label", 4), Pair("name", 3),
                                                         Pair("reserved_name", 4), Pair("value", 2)));
}

TEST(host_stats, histograms_must_add_up) {
  const auto read = [](json buckets, json count, json sum = 1.0) {
    const host_snapshot snapshot = parsed(with_metrics(
        {{{"task", "greeter"},
          {"plugin", "hello"},
          {"name", "h"},
          {"help", ""},
          {"type", "histogram"},
          {"series", {{{"labels", json::object()}, {"buckets", buckets}, {"sum", sum}, {"count", count}}}}}}));
    return snapshot.metrics.empty() ? std::vector<std::uint64_t>() : snapshot.metrics[0].series[0].distribution.counts;
  };
  using counts = std::vector<std::uint64_t>;
  const json good = json::parse("[[0.1,2],[1,5]]");
  EXPECT_EQ(read(good, 7), (counts{2, 3, 2}));
  EXPECT_EQ(read(good, 3), (counts{2, 3, 0})) << "the count may lag behind the buckets";
  EXPECT_EQ(read(json::parse("[[0.1,2],[null,5]]"), 5), (counts{2, 3})) << "+Inf is null in JSON";
  EXPECT_EQ(read(json::array(), 4), (counts{4}));
  EXPECT_EQ(read(json::parse("[[0.1,5],[1,2]]"), 7), counts()) << "cumulative counts cannot fall";
  EXPECT_EQ(read(json::parse("[[1,2],[0.1,5]]"), 7), counts()) << "bounds must grow";
  EXPECT_EQ(read(json::parse("[[null,2],[1,5]]"), 7), counts());
  EXPECT_EQ(read(good, 7, nullptr), counts());
  json many = json::array();
  for (int i = 0; i < 129; ++i) many.push_back({i, i});
  EXPECT_EQ(read(many, 200), counts());
}

TEST(host_stats, series_are_capped_for_each_task_and_sandbox) {
  const auto metrics_of = [](const std::string& task, int series, int from = 0) {
    json metric = gauge("m");
    metric["task"] = task;
    metric["series"] = json::array();
    for (int i = 0; i < series; ++i) {
      metric["series"].push_back({{"labels", {{"n", std::to_string(from + i)}}}, {"value", i}});
    }
    return metric;
  };
  const auto series_in = [](const host_snapshot& snapshot) {
    std::size_t count = 0;
    for (const task_metric& metric : snapshot.metrics) count += metric.series.size();
    return count;
  };
  const host_snapshot one = parsed(with_metrics({metrics_of("a", 1200)}));
  EXPECT_EQ(series_in(one), max_series_per_task);
  EXPECT_THAT(one.series_dropped_total, ElementsAre(Pair("too_many_series", 200)));
  std::vector<json> list;
  for (int task = 0; task < 7; ++task) list.push_back(metrics_of("t" + std::to_string(task), 900));
  const host_snapshot many = parsed(with_metrics(list));
  EXPECT_EQ(series_in(many), max_series_per_sandbox);
  EXPECT_THAT(many.series_dropped_total, ElementsAre(Pair("too_many_series", 1300)));
}

TEST(host_stats, what_would_swell_the_page_is_left_out) {
  // 1 000 histograms of 128 buckets with 16 long labels each: a few MiB here would be some GiB on the page.
  json labels = json::object();
  for (int i = 0; i < 16; ++i) labels["l" + std::to_string(i)] = std::string(200, '"');
  json buckets = json::array();
  for (int i = 0; i < 128; ++i) buckets.push_back({i, i});
  json metric = gauge("h");
  metric["type"] = "histogram";
  metric["series"] = json::array();
  for (int i = 0; i < 1000; ++i) {
    labels["l0"] = std::to_string(i);
    metric["series"].push_back({{"labels", labels}, {"buckets", buckets}, {"sum", 1}, {"count", 128}});
  }
  const host_snapshot snapshot = parsed(with_metrics({metric}));
  ASSERT_EQ(snapshot.metrics.size(), 1u);
  EXPECT_LT(snapshot.metrics[0].series.size(), 20u);
  EXPECT_EQ(snapshot.series_dropped_total.at("too_large") + snapshot.metrics[0].series.size(), 1000u);
}

TEST(host_stats, what_the_host_left_out_is_counted) {
  json answer = full_answer();
  answer["metrics_left_out"] = 7;
  EXPECT_THAT(parsed(answer).series_dropped_total, ElementsAre(Pair("too_large", 7)));
  answer["metrics_left_out"] = 0;
  EXPECT_TRUE(parsed(answer).series_dropped_total.empty());
  answer["metrics_left_out"] = "many";
  EXPECT_EQ(error_of(answer), "metrics_left_out is not a whole number within its range");
}

TEST(host_stats, label_values_are_cleaned_and_cut) {
  const host_snapshot snapshot = parsed(with_metrics({gauge("m", {{"b", "x\ny"}, {"a", std::string(3000, 'v')}})}));
  ASSERT_EQ(snapshot.metrics.size(), 1u);
  const auto& labels = snapshot.metrics[0].series[0].labels;
  EXPECT_EQ(labels[0].first, "a");
  EXPECT_LE(labels[0].second.size(), 1024u);
  EXPECT_EQ(labels[1].second.find('\n'), std::string::npos);
}

TEST(host_stats, mutations_never_throw) {
  std::mt19937 random(4711);
  const std::string right = full_answer().dump();
  int understood = 0;
  for (int round = 0; round < 6'000; ++round) {
    std::string text = right;
    for (std::uint32_t i = 0; i < 1 + random() % 4; ++i) {
      static constexpr char letters[] = "0123456789-.eE\"[]{},:ntaul";
      text[random() % text.size()] = letters[random() % (sizeof(letters) - 1)];
    }
    const json answer = json::parse(text, nullptr, false);
    if (answer.is_discarded()) continue;
    ++understood;
    std::string error;
    if (const auto snapshot = parse_host_stats(answer, error)) {
      host_snapshot now = *snapshot;
      keep_monotonic(now, parsed(full_answer()));
    } else {
      EXPECT_FALSE(error.empty());
    }
  }
  EXPECT_GT(understood, 300);
}

TEST(keep_monotonic, totals_do_not_fall) {
  const host_snapshot before = parsed(full_answer());
  json later = full_answer();
  later["runtime"]["switches_total"] = 100;
  later["runtime"]["steals_total"] = 18;
  later["runtime"]["green_threads"] = 1;
  later["runtime"]["threads_frozen"] = 3;
  for (const char* total :
       {"threads_ended_total", "threads_refused_total", "preempt_signals_total", "freezes_total", "retakes_total"}) {
    later["runtime"][total] = 0;
  }
  later["runtime"]["busy_seconds_total"] = {1.0, 8.0, 0.5};
  later["runtime"]["mutex_wait_seconds_total"] = 1.0;
  later["runtime"]["run_queue_wait_buckets"] = {11, 4, 1, 2};
  later["runtime"]["run_queue_wait_seconds_sum"] = 0.5;
  later["logs_dropped_total"] = 0;
  later["tasks"][0]["cpu_seconds"] = 1.0;
  later["metrics"][0]["series"][0]["value"] = 11;
  later["metrics"][1]["series"][0]["value"] = 1;
  later["metrics"][2]["series"][0]["buckets"] = json::parse("[[0.1,3],[1,9]]");
  host_snapshot now = parsed(later);
  keep_monotonic(now, before);
  EXPECT_EQ(now.runtime.switches_total, 123456u);
  EXPECT_EQ(now.runtime.steals_total, 18u);
  EXPECT_EQ(now.runtime.green_threads, 1u) << "no total";
  EXPECT_EQ(now.runtime.threads_frozen, 3u) << "no total";
  EXPECT_EQ(now.runtime.threads_ended_total, 22u);
  EXPECT_EQ(now.runtime.threads_refused_total, 13u);
  EXPECT_EQ(now.runtime.preempt_signals_total, 26u);
  EXPECT_EQ(now.runtime.freezes_total, 25u);
  EXPECT_EQ(now.runtime.retakes_total, 14u);
  EXPECT_THAT(now.runtime.busy_seconds_total, ElementsAre(12.5, 8.0, 0.5));
  EXPECT_EQ(now.runtime.mutex_wait_seconds_total, 4.5);
  EXPECT_THAT(now.runtime.run_queue_wait.counts, ElementsAre(11, 5, 1, 2));
  EXPECT_EQ(now.runtime.run_queue_wait.sum, 0.75);
  EXPECT_EQ(now.logs_dropped_total, 5u);
  EXPECT_EQ(now.tasks[0].cpu_seconds, 1.5);
  EXPECT_EQ(now.metrics[0].series[0].value, 12);
  EXPECT_EQ(now.metrics[1].series[0].value, 1) << "a gauge may fall";
  EXPECT_THAT(now.metrics[2].series[0].distribution.counts, ElementsAre(4, 6, 1));
}

TEST(keep_monotonic, a_new_run_of_a_task_counts_from_its_own_zero) {
  const host_snapshot before = parsed(full_answer());
  json later = full_answer();
  later["tasks"][0]["started_at"] = 1700000100.0;
  later["tasks"][0]["cpu_seconds"] = 0.1;
  later["metrics"][0]["series"][0]["value"] = 0;
  host_snapshot now = parsed(later);
  keep_monotonic(now, before);
  EXPECT_EQ(now.tasks[0].cpu_seconds, 0.1);
  EXPECT_EQ(now.metrics[0].series[0].value, 0);
}

TEST(keep_monotonic, drops_add_up_over_answers) {
  host_snapshot first = parsed(with_metrics({gauge("rtd_x"), gauge("A")}));
  host_snapshot second = parsed(with_metrics({gauge("rtd_x")}));
  keep_monotonic(second, first);
  EXPECT_THAT(second.series_dropped_total, ElementsAre(Pair("name", 1), Pair("reserved_name", 2)));
}

}  // namespace rtd::metrics::test
