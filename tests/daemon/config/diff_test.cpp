// What a reload has to do.
#include "daemon/config/diff.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace rtd::config {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;

config base() {
  config result;
  result.plugins["hello"].path = "/plugins/hello.so";
  result.plugins["prober"].path = "/plugins/prober.so";
  result.sandboxes["second"] = {};
  task greeter;
  greeter.plugin = "hello";
  greeter.entry = "serve";
  greeter.params["listen"] = {"127.0.0.1:8080"};
  result.tasks["greeter"] = greeter;
  task prober;
  prober.plugin = "prober";
  prober.entry = "run";
  result.tasks["prober"] = prober;
  return result;
}

change_set after(const std::function<void(config&)>& edit) {
  config to = base();
  edit(to);
  return diff(base(), to);
}

TEST(diff, OfEqualConfigurationsIsEmpty) {
  const change_set changes = diff(base(), base());
  EXPECT_TRUE(changes.empty());
  EXPECT_THAT(changes.plugins.unchanged, ElementsAre("hello", "prober"));
  EXPECT_THAT(changes.sandboxes.unchanged, ElementsAre("default", "second"));
  EXPECT_THAT(changes.tasks.unchanged, ElementsAre("greeter", "prober"));
}

TEST(diff, NamesWhatCameAndWent) {
  const change_set changes = after([](config& to) {
    to.plugins.erase("prober");
    to.tasks.erase("prober");
    to.tasks["aaa"] = to.tasks["greeter"];
    to.sandboxes.erase("second");
    to.sandboxes["third"] = {};
  });
  EXPECT_THAT(changes.plugins.removed, ElementsAre("prober"));
  EXPECT_THAT(changes.tasks.added, ElementsAre("aaa"));
  EXPECT_THAT(changes.tasks.removed, ElementsAre("prober"));
  EXPECT_THAT(changes.tasks.unchanged, ElementsAre("greeter"));
  EXPECT_THAT(changes.sandboxes.added, ElementsAre("third"));
  EXPECT_THAT(changes.sandboxes.removed, ElementsAre("second"));
  EXPECT_FALSE(changes.empty());
}

struct edit {
  std::string name;
  std::function<void(config&)> apply;
  effect how;
  std::vector<std::string> fields;
};

class sandbox_edit : public testing::TestWithParam<edit> {};

TEST_P(sandbox_edit, TouchesThatSandboxAlone) {
  const change_set changes = after(GetParam().apply);
  ASSERT_EQ(changes.sandboxes.changed.size(), 1U);
  EXPECT_EQ(changes.sandboxes.changed.at("second"), (change{GetParam().how, GetParam().fields}));
  EXPECT_THAT(changes.sandboxes.unchanged, ElementsAre("default"));
  EXPECT_TRUE(changes.tasks.empty());
  EXPECT_TRUE(changes.plugins.empty());
  EXPECT_FALSE(changes.control || changes.http || changes.log || changes.metrics);
}

const edit sandbox_edits[] = {
    {"max_procs", [](config& to) { to.sandboxes["second"].max_procs = 3; }, effect::live, {"max_procs"}},
    {"restart", [](config& to) { to.sandboxes["second"].restart.max_restarts = 3; }, effect::live, {"restart"}},
    {"stop_timeout", [](config& to) { to.sandboxes["second"].stop_timeout = 1s; }, effect::live, {"stop_timeout"}},
    {"stack_size", [](config& to) { to.sandboxes["second"].stack_size = 65536; }, effect::restart, {"stack_size"}},
    {"open_files",
     [](config& to) { to.sandboxes["second"].limits.open_files = 99; },
     effect::restart,
     {"limits.open_files"}},
    {"processes",
     [](config& to) { to.sandboxes["second"].limits.processes = 9; },
     effect::restart,
     {"limits.processes"}},
    {"file_size",
     [](config& to) { to.sandboxes["second"].limits.file_size = 9; },
     effect::restart,
     {"limits.file_size"}},
    {"io_write", [](config& to) { to.sandboxes["second"].limits.io_write = 9; }, effect::restart, {"limits.io_write"}},
    {"core", [](config& to) { to.sandboxes["second"].limits.core = 9; }, effect::restart, {"limits.core"}},
    {"live_and_restart",
     [](config& to) {
       to.sandboxes["second"].max_procs = 3;
       to.sandboxes["second"].limits.core = 9;
     },
     effect::restart,
     {"limits.core", "max_procs"}},
};

INSTANTIATE_TEST_SUITE_P(fields, sandbox_edit, testing::ValuesIn(sandbox_edits),
                         [](const auto& chosen) { return chosen.param.name; });

class task_edit : public testing::TestWithParam<edit> {};

TEST_P(task_edit, TouchesThatTaskAlone) {
  const change_set changes = after(GetParam().apply);
  ASSERT_EQ(changes.tasks.changed.size(), 1U);
  EXPECT_EQ(changes.tasks.changed.at("greeter"), (change{GetParam().how, GetParam().fields}));
  EXPECT_THAT(changes.tasks.unchanged, ElementsAre("prober"));
  EXPECT_TRUE(changes.sandboxes.empty());
  EXPECT_TRUE(changes.plugins.empty());
}

const edit task_edits[] = {
    {"restart",
     [](config& to) { to.tasks["greeter"].restart.policy = restart_policy::never; },
     effect::live,
     {"restart"}},
    {"stop_timeout", [](config& to) { to.tasks["greeter"].stop_timeout = 1s; }, effect::live, {"stop_timeout"}},
    {"autostart", [](config& to) { to.tasks["greeter"].autostart = false; }, effect::live, {"autostart"}},
    {"weight", [](config& to) { to.tasks["greeter"].weight = 7; }, effect::live, {"weight"}},
    {"limits", [](config& to) { to.tasks["greeter"].limits.heap_soft = 1 << 20; }, effect::live, {"limits"}},
    {"green_threads", [](config& to) { to.tasks["greeter"].limits.green_threads = 9; }, effect::live, {"limits"}},
    {"connections", [](config& to) { to.tasks["greeter"].limits.connections = 9; }, effect::live, {"limits"}},
    {"task_cpus", [](config& to) { to.tasks["greeter"].limits.cpus = 0.5; }, effect::live, {"limits"}},
    {"log_rate", [](config& to) { to.tasks["greeter"].limits.log_rate = 9; }, effect::live, {"limits"}},
    {"class", [](config& to) { to.tasks["greeter"].scheduling = task_class::latency; }, effect::live, {"class"}},
    {"plugin", [](config& to) { to.tasks["greeter"].plugin = "prober"; }, effect::restart, {"plugin"}},
    {"entry", [](config& to) { to.tasks["greeter"].entry = "run"; }, effect::restart, {"entry"}},
    {"schedule", [](config& to) { to.tasks["greeter"].schedule.emplace().every = 1min; }, effect::live, {"schedule"}},
    {"drain_timeout", [](config& to) { to.tasks["greeter"].drain_timeout = 1s; }, effect::live, {"drain_timeout"}},
    {"cancel_timeout", [](config& to) { to.tasks["greeter"].cancel_timeout = 1s; }, effect::live, {"cancel_timeout"}},
    {"after", [](config& to) { to.tasks["greeter"].after = {"prober"}; }, effect::live, {"after"}},
    {"requires", [](config& to) { to.tasks["greeter"].required = {"prober"}; }, effect::live, {"requires"}},
    {"sandbox", [](config& to) { to.tasks["greeter"].sandbox = "second"; }, effect::restart, {"sandbox"}},
    {"params",
     [](config& to) { to.tasks["greeter"].params["listen"].push_back("[::1]:8080"); },
     effect::restart,
     {"params"}},
    {"listen", [](config& to) { to.tasks["greeter"].listen = {"[::1]:8080"}; }, effect::restart, {"listen"}},
    {"start_on_connection",
     [](config& to) { to.tasks["greeter"].start_on_connection = true; },
     effect::restart,
     {"start_on_connection"}},
    {"stack_size", [](config& to) { to.tasks["greeter"].stack_size = 65536; }, effect::restart, {"stack_size"}},
    {"on_deadlock",
     [](config& to) { to.tasks["greeter"].on_deadlock = deadlock_policy::ignore; },
     effect::restart,
     {"on_deadlock"}},
    {"several",
     [](config& to) {
       to.tasks["greeter"].restart.policy = restart_policy::never;
       to.tasks["greeter"].entry = "run";
     },
     effect::restart,
     {"entry", "restart"}},
};

INSTANTIATE_TEST_SUITE_P(fields, task_edit, testing::ValuesIn(task_edits),
                         [](const auto& chosen) { return chosen.param.name; });

TEST(diff, OfAPluginsFileReachesItsTasks) {
  const change_set changes = after([](config& to) { to.plugins["hello"].path = "/other/hello.so"; });
  EXPECT_EQ(changes.plugins.changed.at("hello"), (change{effect::restart, {"path"}}));
  EXPECT_EQ(changes.tasks.changed.at("greeter"), (change{effect::restart, {"plugin"}}));
  EXPECT_THAT(changes.tasks.unchanged, ElementsAre("prober"));
  EXPECT_TRUE(changes.sandboxes.empty());
}

TEST(diff, OfTheHostBinaryReachesEverySandbox) {
  const change_set changes = after([](config& to) { to.host_binary = "/opt/rtd-host"; });
  for (const char* name : {"default", "second"}) {
    EXPECT_EQ(changes.sandboxes.changed.at(name), (change{effect::restart, {"host_binary"}}));
  }
  EXPECT_TRUE(changes.tasks.empty());
}

TEST(diff, OfPluginDirAloneIsEmpty) {
  EXPECT_TRUE(after([](config& to) { to.plugin_dir = "/elsewhere"; }).empty());
}

TEST(diff, TellsTheSectionsApart) {
  const change_set control = after([](config& to) {
    to.control.roles.push_back({protocol::role::view, false, 7, "x"});
  });
  EXPECT_TRUE(control.control && !control.http && !control.log && !control.metrics);
  const change_set http = after([](config& to) { to.http.listen.reset(); });
  EXPECT_TRUE(!http.control && http.http && !http.log && !http.metrics);
  const change_set log = after([](config& to) { to.log.level = log_level::warn; });
  EXPECT_TRUE(!log.control && !log.http && log.log && !log.metrics);
  const change_set metrics = after([](config& to) { to.metrics.go_compat = false; });
  EXPECT_TRUE(!metrics.control && !metrics.http && !metrics.log && metrics.metrics);
  for (const change_set& changes : {control, http, log, metrics}) {
    EXPECT_FALSE(changes.empty());
    EXPECT_TRUE(changes.sandboxes.empty() && changes.tasks.empty() && changes.plugins.empty());
  }
}

TEST(diff, IsAnsweredToTheClientAsPointers) {
  const change_set changes = after([](config& to) {
    to.log.level = log_level::warn;
    to.tasks["new"] = to.tasks["greeter"];
    to.tasks.erase("prober");
    to.plugins.erase("prober");
    to.sandboxes["default"].max_procs = 2;
  });
  EXPECT_EQ(to_json(changes), nlohmann::json::parse(R"({
    "added": ["/tasks/new"],
    "removed": ["/plugins/prober", "/tasks/prober"],
    "changed": ["/log", "/sandboxes/default"],
    "unchanged": 6
  })"));
  EXPECT_EQ(to_json(diff(base(), base())),
            nlohmann::json::parse(R"({"added": [], "removed": [], "changed": [], "unchanged": 10})"));
}

}  // namespace
}  // namespace rtd::config
