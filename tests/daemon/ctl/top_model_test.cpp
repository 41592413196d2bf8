#include "daemon/ctl/top_model.h"

#include <gtest/gtest.h>

#include "daemon/ctl/text.h"

namespace rtd::ctl {
namespace {

using nlohmann::json;

json task(const char* name, double cpu, double age, int green = 1) {
  return {{"name", name},       {"sandbox", "default"}, {"plugin", "p"},         {"state", "running"},
          {"cpu_seconds", cpu}, {"age_seconds", age},   {"green_threads", green}};
}

top_sample sample(double at, json tasks, json sandbox = {{"name", "default"}, {"state", "up"}, {"procs", 4}}) {
  return {at, {{"ready", true}, {"sandboxes", json::array({std::move(sandbox)})}}, std::move(tasks)};
}

TEST(TopModel, HasNoRatesBeforeTheSecondSample) {
  top_model model;
  const top_frame frame = model.update(sample(100, json::array({task("a", 5, 1000)})));
  EXPECT_EQ(frame.tasks.at(0).cpu_percent, std::nullopt);
  EXPECT_EQ(frame.sandboxes.at(0).busy_percent, std::nullopt);
}

TEST(TopModel, RelatesProcessorTimeToTime) {
  top_model model;
  model.update(sample(100, json::array({task("a", 5, 1000), task("b", 1, 1000)})));
  const top_frame frame = model.update(sample(102, json::array({task("a", 8, 1002), task("b", 2, 1002)})));
  EXPECT_DOUBLE_EQ(frame.tasks.at(0).cpu_percent.value(), 150);
  EXPECT_DOUBLE_EQ(frame.tasks.at(1).cpu_percent.value(), 50);
  EXPECT_DOUBLE_EQ(frame.sandboxes.at(0).busy_percent.value(), 50) << "4 seconds of the 8 that 4 processors have";
}

TEST(TopModel, PrefersWhatTheSandboxSaysItself) {
  top_model model;
  json before{{"name", "default"}, {"state", "up"}, {"procs", 2}, {"cpu_seconds", 10.0}, {"uptime_seconds", 500}};
  json after = before;
  after["cpu_seconds"] = 13.0;
  model.update(sample(100, json::array(), before));
  EXPECT_DOUBLE_EQ(model.update(sample(102, json::array(), after)).sandboxes.at(0).busy_percent.value(), 75);
}

TEST(TopModel, CountsRestartedTasksFromZero) {
  top_model model;
  model.update(sample(100, json::array({task("a", 500, 1000)})));
  const top_frame frame = model.update(sample(102, json::array({task("a", 1, 1)})));
  EXPECT_DOUBLE_EQ(frame.tasks.at(0).cpu_percent.value(), 50);
}

TEST(TopModel, CountsNewTasksOnlyWhenTheyAreNew) {
  top_model model;
  model.update(sample(100, json::array()));
  const top_frame frame = model.update(sample(102, json::array({task("new", 1, 1.5), task("unseen", 50, 1000)})));
  EXPECT_DOUBLE_EQ(frame.tasks.at(0).cpu_percent.value(), 50);
  EXPECT_EQ(frame.tasks.at(1).cpu_percent, std::nullopt);
}

TEST(TopModel, HasNoRateForASandboxThatIsDown) {
  top_model model;
  const json down{{"name", "default"}, {"state", "backoff"}, {"procs", 4}};
  model.update(sample(100, json::array(), down));
  EXPECT_EQ(model.update(sample(101, json::array(), down)).sandboxes.at(0).busy_percent, std::nullopt);
}

TEST(TopModel, SurvivesAnswersWithoutFigures) {
  top_model model;
  model.update({1, json::object(), json::array({json::object(), "x", nullptr})});
  const top_frame frame = model.update({2, nullptr, json::array({json::object()})});
  EXPECT_FALSE(to_text(frame, "12:00:00", {}).empty());
  EXPECT_TRUE(to_json(frame)["tasks"][0]["cpu_percent"].is_null());
}

std::string order_of_names(const top_frame& frame) {
  std::string names;
  for (const auto& one : frame.tasks) names += one.task["name"].get<std::string>();
  return names;
}

TEST(TopModel, Sorts) {
  top_model model;
  model.update(sample(1, json::array({task("c", 0, 9, 5), task("a", 0, 9, 7), task("b", 0, 9, 7)})));
  top_frame frame =
      model.update(sample(2, json::array({task("c", 1, 9, 5), task("a", 0, 9, 7), task("b", 0.5, 9, 7)})));
  sort_tasks(frame, top_order::cpu);
  EXPECT_EQ(order_of_names(frame), "cba");
  sort_tasks(frame, top_order::green_threads);
  EXPECT_EQ(order_of_names(frame), "abc") << "equals by name";
  sort_tasks(frame, top_order::name);
  EXPECT_EQ(order_of_names(frame), "abc");
}

TEST(TopModel, ShowsHeapAndAllocationRate) {
  top_model model;
  json busy = task("busy", 1, 100);
  busy["heap_bytes"] = 8 << 20;
  busy["heap_allocated_bytes"] = 1 << 20;
  EXPECT_EQ(model.update(sample(1, json::array({busy}))).tasks.at(0).allocation_rate, std::nullopt);
  busy["heap_allocated_bytes"] = 5 << 20;
  json idle = task("idle", 0, 100);
  idle["heap_bytes"] = 9 << 20;
  top_frame frame = model.update(sample(3, json::array({busy, idle})));
  EXPECT_EQ(frame.tasks.at(0).allocation_rate, 2 << 20);
  EXPECT_EQ(to_json(frame)["tasks"][0]["allocated_bytes_per_second"], 2 << 20);
  EXPECT_NE(to_text(frame, "12:00:00", {}).find("8.0 MiB  2.0 MiB"), std::string::npos);
  EXPECT_EQ(to_text(frame, "12:00:00", {true, false, 80, 0}).find("ALLOC/S"), std::string::npos);
  sort_tasks(frame, top_order::heap);
  EXPECT_EQ(order_of_names(frame), "idlebusy");
}

TEST(TopText, FitsTheScreen) {
  top_model model;
  json tasks = json::array();
  for (int i = 0; i < 50; ++i) tasks.push_back(task(("task" + std::to_string(i)).c_str(), i, 100));
  tasks[3]["status"] = std::string(500, 'x');
  const top_frame frame = model.update(sample(1, tasks));
  const std::string text = to_text(frame, "12:00:00", {true, false, 70, 20});
  std::size_t lines = 0;
  for (std::size_t start = 0; start < text.size(); ++lines) {
    const std::size_t end = text.find('\n', start);
    EXPECT_LE(display_width(std::string_view(text).substr(start, end - start)), 70U);
    start = end + 1;
  }
  EXPECT_EQ(lines, 20U);
  EXPECT_NE(text.find("… 37 more\n"), std::string::npos) << text;
}

}  // namespace
}  // namespace rtd::ctl
