// What good configurations mean; the bad ones are files (corpus_test.cpp).
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/types.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/config/config.h"
#include "tests/daemon/config/corpus.h"

namespace rtd::config::test {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;

config load(std::string_view text) {
  const load_result result = load_text(text, "/etc/rtd");
  for (const problem& found : result.problems) ADD_FAILURE() << format(found, "f");
  return result.value.value_or(config{});
}

std::vector<std::string> mistakes(std::string_view text) {
  std::vector<std::string> lines;
  for (const problem& found : load_text(text, "/etc/rtd").problems) lines.push_back(format(found, "f"));
  return lines;
}

TEST(load, FillsInDefaults) {
  const config empty = load("{}");
  EXPECT_EQ(empty, config{});
  EXPECT_EQ(empty.control.socket, "/run/rtd/control.sock");
  EXPECT_EQ(empty.control.mode, 0660U);
  EXPECT_EQ(empty.control.max_connections, 64);
  EXPECT_EQ(empty.http.listen, (endpoint{"127.0.0.1", 9180}));
  EXPECT_EQ(empty.log.level, log_level::info);
  EXPECT_EQ(empty.log.format, log_format::automatic);
  EXPECT_TRUE(empty.metrics.go_compat);
  EXPECT_EQ(empty.plugin_dir, "/usr/lib/rtd/plugins");
  EXPECT_EQ(empty.host_binary, "");
  ASSERT_EQ(empty.sandboxes.size(), 1U);
  const sandbox& box = empty.sandboxes.at("default");
  EXPECT_EQ(box.max_procs, 0);
  EXPECT_EQ(box.stack_size, 262144U);
  EXPECT_EQ(box.limits, (limit_settings{65536, 0, 0, 0}));
  EXPECT_EQ(box.restart, (restart_settings{restart_policy::always, 100ms, 30s, 0, 60s, 10s}));
  EXPECT_EQ(box.stop_timeout, 10s);
  const config one = load(R"({"plugins": {"p": {"path": "p.so"}}, "tasks": {"t": {"plugin": "p", "entry": "run"}}})");
  const task& least = one.tasks.at("t");
  EXPECT_EQ(least.sandbox, "default");
  EXPECT_THAT(least.params, IsEmpty());
  EXPECT_EQ(least.restart, (restart_settings{restart_policy::on_failure, 100ms, 30s, 0, 60s, 10s}));
  EXPECT_TRUE(least.autostart);
  EXPECT_FALSE(least.schedule);
  EXPECT_EQ(least.drain_timeout, 0s);
  EXPECT_EQ(least.cancel_timeout, 0s);
  EXPECT_EQ(least.stop_timeout, 5s);
  EXPECT_EQ(least.stack_size, 0U);
  EXPECT_EQ(least.weight, 100);
  EXPECT_EQ(least.scheduling, task_class::normal);
  EXPECT_EQ(least.on_deadlock, deadlock_policy::fail);
  EXPECT_THAT(least.after, IsEmpty());
  EXPECT_THAT(least.required, IsEmpty());
  EXPECT_EQ(least.limits, task_limit_settings{});
}

TEST(load, ReadsEveryKey) {
  const config full = load(read(RTD_CONFIG_TEST_DATA "/good/full.json"));
  EXPECT_EQ(full.control.socket, "/etc/rtd/run/control.sock");
  EXPECT_EQ(full.control.mode, 0600U);
  EXPECT_EQ(full.control.max_connections, 4096);
  EXPECT_THAT(full.control.roles, ElementsAre(role_rule{protocol::role::view, true, 100, ""},
                                              role_rule{protocol::role::operate, false, 4294967294, ""},
                                              role_rule{protocol::role::admin, false, 0, "root"},
                                              role_rule{protocol::role::view, true, 0, "root"}));
  EXPECT_EQ(full.http.listen, (endpoint{"::1", 0}));
  EXPECT_EQ(full.log, (log_section{log_level::debug, log_format::json}));
  EXPECT_FALSE(full.metrics.go_compat);
  EXPECT_EQ(full.plugin_dir, "/etc/plugins");
  EXPECT_EQ(full.host_binary, "/etc/rtd/bin/rtd-host");
  EXPECT_EQ(full.plugins.at("hello").path, "/etc/plugins/hello.so");
  EXPECT_EQ(full.plugins.at("far").path, "/opt/far.so");
  EXPECT_EQ(full.plugins.at("a-b_9").path, "/etc/plugins/x.so");
  const sandbox& one = full.sandboxes.at("one");
  EXPECT_EQ(one.max_procs, 256);
  EXPECT_EQ(one.stack_size, 64U << 20);
  EXPECT_EQ(one.limits,
            (limit_settings{64, 4194304, std::uint64_t{1} << 40, 1048576, 0, 0, 0, 10'000, 1U << 20, 2U << 20}));
  EXPECT_EQ(one.restart, (restart_settings{restart_policy::never, 1ms, 1ms, 1'000'000, 720h, 24h}));
  EXPECT_EQ(one.stop_timeout, 0s);
  EXPECT_EQ(one.gc, (gc_settings{10, 512U << 20}));
  EXPECT_EQ(full.sandboxes.at("two").gc, (gc_settings{-1, 0}));
  const task& greeter = full.tasks.at("greeter");
  EXPECT_EQ(greeter.plugin, "hello");
  EXPECT_EQ(greeter.entry, "serve_All9");
  EXPECT_EQ(greeter.sandbox, "one");
  EXPECT_EQ(greeter.restart, (restart_settings{restart_policy::always, 1500ms, 90s, 5, 10min, 2min}));
  EXPECT_FALSE(greeter.autostart);
  ASSERT_TRUE(greeter.schedule && greeter.schedule->when);
  EXPECT_EQ(greeter.schedule->when, parse_cron("*/5 8-18 * * mon-fri", nullptr));
  EXPECT_EQ(greeter.schedule->zone, time_zone::utc);
  EXPECT_EQ(greeter.schedule->overlap, overlap_policy::queue);
  const schedule_settings every = full.tasks.at("x").schedule.value();
  EXPECT_EQ(every.every, 90s);
  EXPECT_EQ(every.overlap, overlap_policy::skip);
  EXPECT_FALSE(every.when);
  EXPECT_EQ(greeter.drain_timeout, 10s);
  EXPECT_EQ(greeter.cancel_timeout, 1500ms);
  EXPECT_EQ(greeter.stop_timeout, 250ms);
  EXPECT_EQ(greeter.stack_size, 128U * 1024);
  EXPECT_EQ(greeter.weight, 300);
  EXPECT_EQ(greeter.scheduling, task_class::latency);
  EXPECT_EQ(full.tasks.at("least").weight, 1);
  EXPECT_EQ(full.tasks.at("least").scheduling, task_class::batch);
  EXPECT_EQ(full.tasks.at("x").weight, 2);
  EXPECT_EQ(full.tasks.at("x").scheduling, task_class::batch);
  EXPECT_EQ(greeter.on_deadlock, deadlock_policy::report);
  EXPECT_THAT(greeter.after, ElementsAre("least"));
  EXPECT_THAT(greeter.required, ElementsAre("x", "least"));
  EXPECT_EQ(greeter.limits, (task_limit_settings{1U << 20, 2U << 20, 100'000'000, 10'000'000, 1'000'000, 1, 0.01}));
}

TEST(load, KeepsParametersAsTheyWereWritten) {
  const auto params = load(read(RTD_CONFIG_TEST_DATA "/good/full.json")).tasks.at("greeter").params;
  EXPECT_THAT(params.at("text"), ElementsAre("with \"quotes\", \u00fcml\u00e4uts and \U0001f600"));
  EXPECT_THAT(params.at("integer"), ElementsAre("-12"));
  EXPECT_THAT(params.at("huge"), ElementsAre("123456789012345678901234567890"));
  EXPECT_THAT(params.at("fraction"), ElementsAre("0.10"));
  EXPECT_THAT(params.at("exponent"), ElementsAre("1e3"));
  EXPECT_THAT(params.at("yes"), ElementsAre("true"));
  EXPECT_THAT(params.at("no"), ElementsAre("false"));
  EXPECT_THAT(params.at("list"), ElementsAre("a", "1", "2.50", "true", ""));
  EXPECT_THAT(params.at("one-item"), ElementsAre("a"));
  EXPECT_THAT(params.at("no.items"), IsEmpty());
  EXPECT_THAT(params.at("EMPTY"), ElementsAre(""));
}

TEST(load, TurnsHttpOffOnlyForTheEmptyString) {
  EXPECT_FALSE(load(R"({"http": {"listen": ""}})").http.listen);
  EXPECT_TRUE(load(R"({"http": {}})").http.listen);
  EXPECT_TRUE(load(R"({"http": null})").http.listen);
}

TEST(load, UsesOnlyTheSandboxesThatAreListed) {
  EXPECT_FALSE(load(R"({"sandboxes": {"main": {}}})").sandboxes.contains("default"));
}

TEST(load, TakesPathsFromTheRootForAnEmptyBase) {
  const load_result result = load_text(R"({"control": {"socket": "c.sock"}})", "");
  ASSERT_TRUE(result.value);
  EXPECT_EQ(result.value->control.socket.front(), '/');
}

TEST(load, GivesEitherAConfigurationOrProblems) {
  const load_result good = load_text("{}", "/");
  EXPECT_TRUE(good.value.has_value() && good.problems.empty());
  const load_result bad = load_text("{\"x\": 1}", "/");
  EXPECT_TRUE(!bad.value.has_value() && bad.problems.size() == 1);
}

TEST(load, ReportsAListenAddressWithItsReason) {
  EXPECT_THAT(mistakes(R"({"http": {"listen": "0.0.0.0"}})"),
              ElementsAre(testing::AllOf(testing::StartsWith("f:1:21: /http/listen: \"0.0.0.0\""),
                                         testing::HasSubstr("the port is missing"))));
}

TEST(load, AddressesThatRtdListensOnForATask) {
  const auto with = [](const std::string& listen) {
    return R"({"plugins": {"p": {"path": "p.so"}}, "tasks": {"t": {"plugin": "p", "entry": "run", "listen": )" +
           listen + "}}}";
  };
  EXPECT_THAT(load(with(R"(["localhost:80", "[::1]:80", "unix:/run/x.sock"])")).tasks.at("t").listen,
              ElementsAre("127.0.0.1:80", "[::1]:80", "unix:/run/x.sock"));
  const auto refused = [&](const std::string& listen, const std::string& why) {
    EXPECT_THAT(mistakes(with(listen)), ElementsAre(testing::HasSubstr(why))) << listen;
  };
  refused(R"("127.0.0.1:80")", "put it into [ ]");
  refused(R"(["127.0.0.1"])", "the port is missing");
  refused(R"(["127.0.0.1:0"])", "the port is 0");
  refused(R"(["unix:x.sock"])", "is no socket to listen on");
  refused("[\"unix:/" + std::string(107, 'x') + "\"]", "is no socket to listen on");
  refused(R"(["localhost:80", "127.0.0.1:80"])", "is named twice");
  nlohmann::json many = nlohmann::json::array();
  for (int port = 1; port <= 17; ++port) many.push_back("127.0.0.1:" + std::to_string(port));
  refused(many.dump(), "at most 16 are allowed");
}

TEST(load, WhatStartsATask) {
  const auto with = [](const std::string& keys) {
    return R"({"plugins": {"p": {"path": "p.so"}}, "tasks": {"t": {"plugin": "p", "entry": "run", )" + keys + "}}}";
  };
  EXPECT_FALSE(load(with(R"("listen": ["[::1]:80"])")).tasks.at("t").start_on_connection);
  EXPECT_TRUE(load(with(R"("start_on_connection": true, "listen": ["[::1]:80"])")).tasks.at("t").start_on_connection);
  EXPECT_FALSE(load(with(R"("start_on_connection": false)")).tasks.at("t").start_on_connection);
  EXPECT_THAT(mistakes(with(R"("start_on_connection": true)")),
              ElementsAre(testing::HasSubstr("has no effect without listen")));
  EXPECT_THAT(mistakes(with(R"("start_on_connection": true, "listen": [])")),
              ElementsAre(testing::HasSubstr("has no effect without listen")));
  EXPECT_THAT(mistakes(with(R"("start_on_connection": true, "listen": ["[::1]:80"], "schedule": {"every": "1h"})")),
              ElementsAre(testing::HasSubstr("not by both")));
}

TEST(load, RefusesMoreThanTheBounds) {
  const auto with = [](const std::string& params) {
    return R"({"plugins": {"p": {"path": "p.so"}}, "tasks": {"t": {"plugin": "p", "entry": "run", "params": )" +
           params + "}}}";
  };
  nlohmann::json many = nlohmann::json::object();
  for (int i = 0; i < 257; ++i) many["k" + std::to_string(i)] = i;
  EXPECT_THAT(mistakes(with(many.dump())), ElementsAre(testing::HasSubstr("there are 257 parameters")));
  many.erase("k0");
  EXPECT_THAT(mistakes(with(many.dump())), IsEmpty());
  EXPECT_THAT(mistakes(with("{\"a\": \"" + std::string(65536, 'x') + "\"}")), IsEmpty());
  EXPECT_THAT(mistakes(with("{\"a\": \"" + std::string(65537, 'x') + "\"}")),
              ElementsAre(testing::HasSubstr("has 65537 bytes (at most 65536 are allowed)")));
  const nlohmann::json items = std::vector<int>(10'001, 1);
  EXPECT_THAT(mistakes(with("{\"a\": " + items.dump() + "}")),
              ElementsAre(testing::HasSubstr("the array has 10001 items")));
  EXPECT_THAT(mistakes(R"({"plugins": {"p": {"path": ")" + std::string(5000, 'x') + "\"}}}"),
              ElementsAre(testing::HasSubstr("has 5000 bytes")));
  EXPECT_THAT(mistakes(R"({"plugins": {"p": {"path": ")" + std::string(4090, 'x') + "\"}}}"),
              ElementsAre(testing::HasSubstr("once it is absolute")));
}

TEST(load, ListsSomeHundredProblemsOfAHostileText) {
  nlohmann::json hostile = nlohmann::json::object();
  for (int i = 0; i < 20'000; ++i)
    hostile["tasks"]["task" + std::to_string(i)] = {{"plugin", "plugin" + std::to_string(i)}};
  for (int i = 0; i < 5'000; ++i) hostile["plugins"]["pulgin" + std::to_string(i)] = {{"path", "p.so"}};
  const auto before = std::chrono::steady_clock::now();
  const load_result result = load_text(hostile.dump(), "/");
  EXPECT_LE(result.problems.size(), problem_list::most + 1);
  EXPECT_THAT(result.problems.back().message, testing::HasSubstr("further problems are not listed"));
  EXPECT_LT(std::chrono::steady_clock::now() - before, 20s);  // takes much less; without bounds it took minutes
}

TEST(load, ReadsFileModes) {
  const auto with = [](const std::string& mode) { return R"({"control": {"mode": ")" + mode + "\"}}"; };
  EXPECT_EQ(load(with("0600")).control.mode, 0600U);
  EXPECT_EQ(load(with("777")).control.mode, 0777U);
  for (const char* mode : {"0400", "0200", "0066", "500"}) {
    EXPECT_THAT(mistakes(with(mode)), ElementsAre(testing::HasSubstr("keeps the daemon's own user out"))) << mode;
  }
  for (const char* mode : {"", "0", "60", "1660", "06600", "0680", "0o660", "u=rw", "-660", " 660"}) {
    EXPECT_THAT(mistakes(with(mode)), ElementsAre(testing::HasSubstr("is no file mode"))) << mode;
  }
}

TEST(load, CountsTheLongestSocketPathInBytes) {
  const auto with = [](std::size_t bytes) {
    return R"({"control": {"socket": "/)" + std::string(bytes - 1, 's') + "\"}}";
  };
  EXPECT_THAT(mistakes(with(107)), IsEmpty());
  EXPECT_THAT(mistakes(with(108)), ElementsAre(testing::HasSubstr("has 108 bytes (the system allows 107")));
}

}  // namespace
}  // namespace rtd::config::test
