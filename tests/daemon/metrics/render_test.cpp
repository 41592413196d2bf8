// The page: its names, its text, and what promtool says of it.
#include "daemon/metrics/render.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "daemon/metrics/page.h"
#include "tests/daemon/metrics/samples.h"

namespace rtd::metrics::test {

using ::testing::HasSubstr;
using ::testing::Not;

namespace {

const std::string source_dir = RTD_SOURCE_DIR;

std::string read_file(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return std::move(text).str();
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

// What `promtool check metrics` says of a page: its exit code and its words.
std::pair<int, std::string> promtool(const std::string& page) {
  const std::string path = ::testing::TempDir() + "rtd_page_" + std::to_string(::getpid());
  std::ofstream(path) << page;
  FILE* const pipe = ::popen(("promtool check metrics < " + path + " 2>&1").c_str(), "r");
  std::string words;
  char buffer[4096];
  for (std::size_t size = 0; (size = ::fread(buffer, 1, sizeof(buffer), pipe)) > 0;) words.append(buffer, size);
  const int status = ::pclose(pipe);
  ::unlink(path.c_str());
  return {WEXITSTATUS(status), words};
}

bool have_promtool() { return std::system("command -v promtool > /dev/null") == 0; }

// A task metric, put into the first task of the first sandbox.
void add_metric(daemon_snapshot& to, const std::string& task, const std::string& name, metric_type type,
                const std::string& help = "Help.", double value = 1) {
  task_metric metric;
  metric.task = task;
  metric.name = name;
  metric.type = type;
  metric.help = help;
  task_series series;
  series.value = value;
  if (type == metric_type::histogram) series.distribution = {{1}, {1, 0}, 0.5};
  metric.series.push_back(series);
  to.sandboxes[0].host->metrics.push_back(metric);
}

}  // namespace

TEST(page, a_full_snapshot_shows_every_family_with_its_labels) {
  const std::string text = render(full_snapshot());
  std::map<std::string, std::set<std::string>> labels_seen;
  std::map<std::string, std::string> types;
  for (const std::string& line : lines_of(text)) {
    std::istringstream words(line);
    std::string mark, word, name, type;
    words >> mark >> word >> name >> type;
    if (mark == "#" && word == "TYPE") types[name] = type;
    if (line[0] == '#') continue;
    std::string sample = line.substr(0, line.find_first_of("{ "));
    for (const std::string suffix : {"_bucket", "_sum", "_count"}) {
      if (!sample.ends_with(suffix)) continue;
      const std::string stem = sample.substr(0, sample.size() - suffix.size());
      if (types.contains(stem)) sample = stem;
    }
    std::string labels;
    for (std::size_t at = line.find('{'); at != std::string::npos && line[at] != '}';) {
      const std::size_t equals = line.find('=', at);
      const std::string label = line.substr(at + 1, equals - at - 1);
      if (label != "le" && label != "quantile") labels += (labels.empty() ? "" : ", ") + label;
      at = line.find('"', equals + 2) + 1;
    }
    labels_seen[sample].insert(labels);
  }
  for (const family_description& family : all_families()) {
    EXPECT_EQ(types[family.name], family.type) << family.name;
    EXPECT_EQ(labels_seen[family.name], std::set<std::string>{family.labels}) << family.name;
  }
  EXPECT_EQ(types.size(), all_families().size() + 3) << "and those of the task";
}

TEST(page, each_version_of_a_plugin_that_is_in_memory) {
  const std::string text = render(full_snapshot());
  for (const char* version : {"1.0.0", "0.9.0"})
    EXPECT_THAT(text, HasSubstr("rtd_plugin_info{sandbox=\"default\",plugin=\"hello\",version=\"" +
                                std::string(version) + "\",abi=\"1\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("rtd_plugin_replacements_total{plugin=\"hello\",result=\"failed\"} 0\n"));
}

TEST(page, is_clean_for_promtool) {
  if (!have_promtool()) GTEST_SKIP() << "promtool is not installed (Debian package prometheus)";
  const auto [code, words] = promtool(render(full_snapshot()));
  EXPECT_EQ(code, 0) << words;
  EXPECT_EQ(words, "");
  const auto [empty_code, empty_words] = promtool(render(daemon_snapshot{}));
  EXPECT_EQ(empty_code, 0) << empty_words;
}

TEST(page, hostile_text_stays_in_its_place) {
  daemon_snapshot snapshot = full_snapshot();
  snapshot.build.revision = "quote\" backslash\\ line\nend \xff\xfe \x1b[31m";
  snapshot.control.requests.record("}\n# TYPE evil gauge\nevil 1\n", "ok", 0.1);
  add_metric(snapshot, "greeter", "odd_help", metric_type::gauge, "a \\ back\nrtd_sandbox_up 7\n Nan");
  add_metric(snapshot, "greeter", "not_known", metric_type::gauge, "h Nan", std::nan(""));
  const std::string text = render(snapshot);
  EXPECT_THAT(text, Not(HasSubstr("\nevil 1")));
  EXPECT_THAT(text, Not(HasSubstr("\nrtd_sandbox_up 7")));
  EXPECT_THAT(text, HasSubstr("# HELP odd_help a \\\\ back\\nrtd_sandbox_up 7\\n Nan\n"));
  EXPECT_THAT(text, HasSubstr("# HELP not_known h Nan\n"));
  EXPECT_THAT(text, HasSubstr("not_known{sandbox=\"default\",plugin=\"hello\",task=\"greeter\"} NaN\n"));
  EXPECT_THAT(text, Not(HasSubstr("\xff")));
  if (!have_promtool()) GTEST_SKIP() << "promtool is not installed (Debian package prometheus)";
  const auto [code, words] = promtool(text);
  EXPECT_EQ(code, 0) << words;
}

TEST(page, shows_task_metrics_with_their_origin) {
  const std::string text = render(full_snapshot());
  EXPECT_THAT(
      text,
      HasSubstr("# TYPE hello_greetings_total counter\n"
                "hello_greetings_total{sandbox=\"default\",plugin=\"hello\",task=\"greeter\",family=\"ipv4\"} 12\n"));
  EXPECT_THAT(
      text,
      HasSubstr("hello_delay_seconds_bucket{sandbox=\"default\",plugin=\"hello\",task=\"greeter\",le=\"1\"} 9\n"));
  EXPECT_THAT(
      text,
      HasSubstr("hello_delay_seconds_bucket{sandbox=\"default\",plugin=\"hello\",task=\"greeter\",le=\"+Inf\"} 10\n"));
  EXPECT_THAT(text, HasSubstr("hello_delay_seconds_count{sandbox=\"default\",plugin=\"hello\",task=\"greeter\"} 10\n"));
}

TEST(page, the_first_user_of_a_name_keeps_it) {
  daemon_snapshot snapshot = full_snapshot();
  snapshot.sandboxes[0].tasks.push_back({"second", "other", "running", 0, 0, {}});
  add_metric(snapshot, "second", "hello_clients", metric_type::histogram, "Connected clients.");
  add_metric(snapshot, "second", "hello_delay_seconds", metric_type::histogram, "Another help.");
  add_metric(snapshot, "second", "shared", metric_type::gauge);
  add_metric(snapshot, "greeter", "shared", metric_type::gauge);
  snapshot.task_metric_conflicts_total = 10;
  render_report report;
  const std::string text = render(snapshot, &report);
  EXPECT_EQ(report.conflicts, 2u);
  EXPECT_THAT(text, HasSubstr("rtd_task_metric_conflicts_total 12\n"));
  EXPECT_THAT(text, HasSubstr("# TYPE hello_clients gauge\n"));
  EXPECT_THAT(text, Not(HasSubstr("hello_clients_bucket")));
  EXPECT_THAT(text, HasSubstr("shared{sandbox=\"default\",plugin=\"hello\",task=\"greeter\"} 1\n"
                              "shared{sandbox=\"default\",plugin=\"other\",task=\"second\"} 1\n"));
}

TEST(page, shows_each_figure_of_threads_and_preemption_under_its_own_name) {
  const std::string text = render(full_snapshot());
  for (const char* line : {
           "rtd_sched_threads{sandbox=\"default\",state=\"running\"} 2\n",
           "rtd_sched_threads{sandbox=\"default\",state=\"idle\"} 2\n",
           "rtd_sched_threads{sandbox=\"default\",state=\"blocked\"} 1\n",
           "rtd_sched_threads{sandbox=\"default\",state=\"frozen\"} 4\n",
           "rtd_sched_threads_created_total{sandbox=\"default\"} 31\n",
           "rtd_sched_threads_ended_total{sandbox=\"default\"} 22\n",
           "rtd_sched_threads_refused_total{sandbox=\"default\"} 13\n",
           "rtd_sched_preempt_requests_total{sandbox=\"default\"} 8\n",
           "rtd_sched_preemptions_total{sandbox=\"default\"} 7\n",
           "rtd_sched_preempt_signals_total{sandbox=\"default\"} 26\n",
           "rtd_sched_freezes_total{sandbox=\"default\"} 25\n",
           "rtd_sched_retakes_total{sandbox=\"default\"} 14\n",
       }) {
    EXPECT_THAT(text, HasSubstr(std::string("\n") + line));
  }
}

TEST(page, a_host_cannot_speak_for_tasks_that_are_not_its_own) {
  daemon_snapshot snapshot = full_snapshot();
  add_metric(snapshot, "stranger", "strange", metric_type::gauge);
  const std::string text = render(snapshot);
  EXPECT_THAT(text, Not(HasSubstr("strange")));
}

TEST(page, tasks_beyond_the_cap_are_summed_up) {
  daemon_snapshot snapshot = full_snapshot();
  std::vector<task_figures>& tasks = snapshot.sandboxes[0].tasks;
  tasks.clear();
  for (int i = 0; i < 1010; ++i) {
    tasks.push_back({"t" + std::to_string(i), i % 2 == 0 ? "even" : "odd", "running", 3, 1, {{"ok", 2}}});
    host_task in_host;
    in_host.id = tasks.back().name;
    in_host.green_threads = 10;
    snapshot.sandboxes[0].host->tasks.push_back(in_host);
  }
  const std::string text = render(snapshot);
  EXPECT_THAT(text, HasSubstr("task=\"t999\""));
  EXPECT_THAT(text, Not(HasSubstr("task=\"t1000\"")));
  EXPECT_THAT(text,
              HasSubstr("rtd_task_state{sandbox=\"default\",plugin=\"odd\",task=\"_other\",state=\"running\"} 5\n"));
  EXPECT_THAT(text, HasSubstr("rtd_task_green_threads{sandbox=\"default\",plugin=\"even\",task=\"_other\"} 50\n"));
  EXPECT_THAT(text, HasSubstr("rtd_task_restarts_total{sandbox=\"default\",plugin=\"even\",task=\"_other\"} 15\n"));
  EXPECT_THAT(text,
              HasSubstr("rtd_task_runs_total{sandbox=\"default\",plugin=\"even\",task=\"_other\",status=\"ok\"} 10\n"));
  EXPECT_THAT(text, Not(HasSubstr("rtd_task_start_time_seconds{sandbox=\"default\",plugin=\"even\",task=\"_other\"}")));
}

TEST(page, a_sandbox_without_a_host_says_so) {
  daemon_snapshot snapshot = full_snapshot();
  sandbox_snapshot& sandbox = snapshot.sandboxes[0];
  sandbox.up = false;
  sandbox.state = "backoff";
  sandbox.backoff_seconds = 1.5;
  sandbox.host.reset();
  sandbox.process.reset();
  const std::string text = render(snapshot);
  EXPECT_THAT(text, HasSubstr("rtd_sandbox_up{sandbox=\"default\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("rtd_sandbox_state{sandbox=\"default\",state=\"backoff\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("rtd_sandbox_state{sandbox=\"default\",state=\"up\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("rtd_sandbox_restart_backoff_seconds{sandbox=\"default\"} 1.5\n"));
  EXPECT_THAT(text, Not(HasSubstr("rtd_sched_")));
  EXPECT_THAT(text, Not(HasSubstr("go_goroutines")));
  EXPECT_THAT(text,
              HasSubstr("rtd_task_state{sandbox=\"default\",plugin=\"hello\",task=\"greeter\",state=\"running\"} 1\n"));
}

TEST(page, go_names_can_be_left_out) {
  daemon_snapshot snapshot = full_snapshot();
  EXPECT_THAT(render(snapshot), HasSubstr("\ngo_goroutines{sandbox=\"default\"} 100\n"));
  snapshot.go_compat = false;
  EXPECT_THAT(render(snapshot), Not(HasSubstr("\ngo_")));
}

TEST(page, a_name_that_is_not_in_the_list_is_a_mistake) {
  page one;
  EXPECT_THROW(one.gauge("rtd_unheard_of", {}, 1.0), std::logic_error);
  EXPECT_THROW(one.counter("rtd_sandbox_up", {}, 1.0), std::logic_error);
}

TEST(names, are_those_of_the_list) {
  std::string list;
  for (const family_description& family : all_families()) {
    list += family.name + " " + family.type + (family.labels.empty() ? "" : " " + family.labels) + "\n";
  }
  EXPECT_EQ(list, read_file(source_dir + "/tests/daemon/metrics/names.txt"))
      << "dashboards and alerts depend on these names: change names.txt only on purpose";
}

TEST(names, are_documented) {
  std::string table = "| name | type | labels | unit | meaning |\n|---|---|---|---|---|\n";
  for (const family_description& family : all_families()) {
    table += "| `" + family.name + "` | " + family.type + " | " + family.labels + " | " + family.unit + " | " +
             family.help + " |\n";
  }
  const std::string page = read_file(source_dir + "/docs/metrics.md");
  EXPECT_NE(page.find(table), std::string::npos) << "docs/metrics.md must contain this table:\n" << table;
}

}  // namespace rtd::metrics::test
