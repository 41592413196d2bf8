// `rtd --check-config` and the reading of files.
#include "daemon/config/check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>
#include <string_view>

#include "daemon/config/config.h"
#include "daemon/config/document.h"

namespace rtd::config {
namespace {

class check : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "rtd-config-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string write(const std::string& name, std::string_view text) {
    const std::string path = folder_ + '/' + name;
    std::ofstream(path, std::ios::binary) << text;
    return path;
  }

  /// The output of the check; its status goes to status_.
  std::string run(const std::string& path) {
    std::ostringstream out;
    status_ = check_config(path, out);
    return out.str();
  }

  std::string folder_;
  int status_ = -1;
};

TEST_F(check, SaysWhatAGoodFileConfigures) {
  const std::string path = write("good.json", R"({"plugins": {"p": {"path": "p.so"}, "q": {"path": "q.so"}},
                                                  "tasks": {"t": {"plugin": "p", "entry": "run"}}})");
  EXPECT_EQ(run(path), path + ": good: 1 sandbox, 2 plugins, 1 task\n");
  EXPECT_EQ(status_, 0);
}

TEST_F(check, GivesOneLineForEachProblemAndTheirNumber) {
  const std::string path = write("bad.json", "{\n  \"log\": {\"level\": \"loud\"},\n  \"metric\": {}\n}\n");
  EXPECT_EQ(run(path),
            path + ":2:20: /log/level: must be \"debug\", \"info\", \"warn\" or \"error\", not the string \"loud\"\n" +
                path + ":3:3: /metric: unknown key \"metric\" (did you mean \"metrics\"?)\n" + path + ": 2 problems\n");
  EXPECT_EQ(status_, 78);
}

TEST_F(check, CountsASingleProblem) {
  const std::string path = write("bad.json", "{");
  EXPECT_THAT(run(path), testing::EndsWith(": 1 problem\n"));
}

TEST_F(check, ExplainsWhyAFileCannotBeRead) {
  const std::string missing = folder_ + "/missing.json";
  EXPECT_EQ(run(missing), missing + ": cannot open the file: No such file or directory (check the path)\n" + missing +
                              ": 1 problem\n");
  EXPECT_EQ(status_, 78);
  EXPECT_THAT(run(folder_), testing::HasSubstr("this is a folder"));
  EXPECT_THAT(run("/dev/zero"), testing::HasSubstr("this is not a regular file"));
  EXPECT_EQ(status_, 78);
}

TEST_F(check, NeverWaitsForAPipe) {
  const std::string pipe = folder_ + "/pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_THAT(run(pipe), testing::HasSubstr("this is not a regular file"));
}

TEST_F(check, RefusesAnUnreadableFile) {
  const std::string path = write("secret.json", "{}");
  ASSERT_EQ(chmod(path.c_str(), 0), 0);
  // root may read every file, so it becomes somebody else for a moment.
  const uid_t before = geteuid();
  if (before == 0) {
    ASSERT_EQ(seteuid(65534), 0);
  }
  const std::string output = run(path);
  ASSERT_EQ(seteuid(before), 0);
  EXPECT_THAT(output, testing::HasSubstr("Permission denied (let the user of rtd read it)"));
}

TEST_F(check, RefusesALargeFile) {
  EXPECT_EQ(run(write("fits.json", "{}" + std::string(most_text_bytes - 2, ' '))).find("problem"), std::string::npos);
  EXPECT_THAT(run(write("large.json", "{}" + std::string(most_text_bytes - 1, ' '))),
              testing::HasSubstr("the file is larger than 4 MiB"));
}

TEST_F(check, TakesPathsFromTheFolderOfTheFile) {
  const std::string path =
      write("rtd.json", R"({"control": {"socket": "c.sock"}, "plugin_dir": "../p", "host_binary": "h",
                                                 "plugins": {"a": {"path": "a.so"}, "b": {"path": "/b.so"}}})");
  const load_result result = load_file(path);
  ASSERT_TRUE(result.value);
  const std::filesystem::path folder(folder_);
  EXPECT_EQ(result.value->control.socket, folder / "c.sock");
  EXPECT_EQ(result.value->host_binary, folder / "h");
  EXPECT_EQ(result.value->plugin_dir, folder.parent_path() / "p");
  EXPECT_EQ(result.value->plugins.at("a").path, folder.parent_path() / "p/a.so");
  EXPECT_EQ(result.value->plugins.at("b").path, "/b.so");

  const std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::current_path(folder);
  const load_result relative = load_file("rtd.json");
  std::filesystem::current_path(before);
  ASSERT_TRUE(relative.value);
  EXPECT_EQ(*relative.value, *result.value);
}

TEST_F(check, ReadsStandardInput) {
  std::istringstream input("{\"log\": 1}");
  std::streambuf* before = std::cin.rdbuf(input.rdbuf());
  const std::string output = run("-");
  std::cin.rdbuf(before);
  std::cin.clear();
  EXPECT_EQ(output, "standard input:1:9: /log: must be an object, not the number 1\nstandard input: 1 problem\n");
  EXPECT_EQ(status_, 78);
}

TEST(format, LeavesOutWhatAProblemLacks) {
  EXPECT_EQ(format({"/a/b", 3, 7, "is wrong", "mend it"}, "f.json"), "f.json:3:7: /a/b: is wrong (mend it)");
  EXPECT_EQ(format({"", 3, 7, "is wrong", ""}, "f.json"), "f.json:3:7: is wrong");
  EXPECT_EQ(format({"", 0, 0, "is wrong", ""}, "f.json"), "f.json: is wrong");
}

TEST(format, EscapesWhatATerminalObeys) {
  EXPECT_EQ(format({"/\x1b[2J", 1, 1, "m\r\n", "\u202eh"}, "\x07.json"),
            "\\x07.json:1:1: /\\x1b[2J: m\\r\\n (\\u202eh)");
}

}  // namespace
}  // namespace rtd::config
