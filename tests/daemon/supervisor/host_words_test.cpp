// What a host says about itself: crash reports, manifests, output.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "daemon/protocol/json.h"
#include "daemon/supervisor/crash_report.h"
#include "daemon/supervisor/crash_store.h"
#include "daemon/supervisor/host_start.h"
#include "daemon/supervisor/output_lines.h"
#include "daemon/supervisor/plugin_info.h"
#include "temporary_folder.h"

namespace rtd::supervisor {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

TEST(crash_report, is_told_in_one_line) {
  const json report = checked_crash_report({{"event", "crash"},
                                            {"signal", "SIGSEGV"},
                                            {"code", "SEGV_MAPERR"},
                                            {"address", "0x0"},
                                            {"green_thread", 7},
                                            {"task", "greeter"},
                                            {"plugin", "hello"},
                                            {"stack_overflow", false},
                                            {"stack", {"serve+0x1f (hello.so)", "entry"}}});
  EXPECT_EQ(describe_crash(report),
            "SIGSEGV (SEGV_MAPERR) at 0x0 in task greeter, plugin hello, green thread 7: serve+0x1f (hello.so)");
}

TEST(crash_report, lies_are_cut_down) {
  const json report = checked_crash_report({{"signal", "\x1b[2J\n" + std::string(1000, 'x')},
                                            {"code", 7},
                                            {"green_thread", -5},
                                            {"task", "../../etc"},
                                            {"plugin", json::array()},
                                            {"stack_overflow", "yes"},
                                            {"stack", json(std::vector<std::string>(100'000, "frame\x07"))}});
  EXPECT_LE(report["signal"].get<std::string>().size(), 32u);
  EXPECT_EQ(report["task"], "");
  EXPECT_EQ(report["green_thread"], 0);
  EXPECT_EQ(report["stack_overflow"], false);
  EXPECT_EQ(report["stack"].size(), 128u);
  EXPECT_EQ(report["stack"][0], "frame\\x07");
  EXPECT_EQ(describe_crash(checked_crash_report(json::object())), "crash");
}

TEST(crash_store, keeps_the_newest) {
  const test::temporary_folder folder;
  host_end end;
  end.reason = "signal";
  end.signal = "SIGSEGV";
  for (int i = 0; i < 60; ++i) {
    end.at = std::chrono::system_clock::time_point(std::chrono::seconds(1'700'000'000 + i));
    save_crash_report(folder.path(), "default", end);
  }
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path() + "/crashes"))
    names.push_back(entry.path().filename().string());
  EXPECT_EQ(names.size(), crash_reports_kept);
  EXPECT_EQ(std::ranges::min(names), "2023-11-14T22-13-30.000Z-default.json");
}

host_answer manifest(json changes) {
  host_answer answer;
  answer.result = {{"name", "hello"},
                   {"version", "1.0"},
                   {"description", "greets"},
                   {"abi", 1},
                   {"entries", {{{"name", "serve"}, {"description", "serves"}}}},
                   {"thread_locals", json::array()}};
  answer.result.update(changes);
  return answer;
}

TEST(plugin_answers, good_ones) {
  const plugin_info info = read_plugin_answer("hello", "/p/hello.so", manifest(json::object()));
  EXPECT_TRUE(info.loaded);
  EXPECT_TRUE(info.has_entry("serve"));
  EXPECT_FALSE(info.has_entry("dump"));
  EXPECT_EQ(info.entry_names(), "serve");
  EXPECT_TRUE(read_plugin_answer("", "/p/hello.so", manifest(json::object())).loaded) << "any name, for a check";
}

TEST(plugin_answers, lies_are_refusals) {
  const json entries_twice = {{{"name", "a"}}, {{"name", "a"}}};
  for (const json& changes :
       {json{{"name", "other"}}, json{{"name", 5}}, json{{"name", "No Name"}}, json{{"entries", 5}},
        json{{"entries", {1, 2}}}, json{{"entries", entries_twice}}, json{{"entries", {{{"name", "a b"}}}}},
        json{{"entries", json(std::vector<json>(5000, {{"name", "x"}}))}}}) {
    const plugin_info info = read_plugin_answer("hello", "/p", manifest(changes));
    EXPECT_FALSE(info.loaded) << changes.dump().substr(0, 100);
    EXPECT_NE(info.error, "");
  }
  const plugin_info odd = read_plugin_answer("hello", "/p", manifest({{"version", "\x1b[1m"}, {"abi", -1}}));
  EXPECT_TRUE(odd.loaded);
  EXPECT_EQ(odd.version, "\\x1b[1m");
  EXPECT_EQ(odd.abi, 0);
}

TEST(output, lines_and_pieces) {
  output_lines lines;
  std::vector<std::string> seen;
  const auto emit = [&](const std::string& line) {
    seen.push_back(line);
    return true;
  };
  for (char c : std::string("one\r\n\ntwo\nthr")) lines.feed({&c, 1}, emit);
  lines.feed("ee\nfour", emit);
  EXPECT_THAT(seen, ElementsAre("one", "two", "three"));
  EXPECT_EQ(lines.rest(), "four");
  seen.clear();
  lines.feed(std::string(10'000, 'x') + "\nend\n", emit);
  ASSERT_EQ(seen.size(), 4u);
  EXPECT_EQ(seen[0].size(), output_lines::longest);
  EXPECT_EQ(seen[2].size(), 10'000 - 2 * output_lines::longest);
  EXPECT_EQ(seen[3], "end");
}

TEST(configuration, the_collector_is_told_its_limit) {
  config::sandbox settings;
  settings.limits.memory = 64U << 20;
  nlohmann::json params = make_collector_params(settings);
  EXPECT_EQ(params["gc_percent"], 100);
  EXPECT_GT(params["memory_limit"], 0);
  EXPECT_LE(params["memory_limit"], (64U << 20) / 10 * 9) << "less where this test's own control group has less";
  settings.gc = {-1, 20U << 20};
  params = make_configure_params("default", settings, log_level::info);
  EXPECT_EQ(params["gc_percent"], -1);
  EXPECT_EQ(params["memory_limit"], 20U << 20);
  EXPECT_EQ(params["sandbox"], "default");
}

TEST(output, stops_when_it_is_told) {
  output_lines lines;
  int count = 0;
  lines.feed("a\nb\nc\n", [&](const std::string&) { return ++count < 2; });
  EXPECT_EQ(count, 2);
}

}  // namespace
}  // namespace rtd::supervisor
