// The command line, the way from words to a command.
#include <gtest/gtest.h>

#include <sstream>
#include <string>
#include <vector>

#include "daemon/ctl/command_line.h"
#include "daemon/ctl/error.h"
#include "daemon/ctl/help.h"
#include "daemon/ctl/run.h"
#include "daemon/ctl/task_run.h"

namespace rtd::ctl {
namespace {

using nlohmann::json;

struct outcome {
  int status;
  std::string out;
  std::string err;
};

outcome run_words(const std::vector<std::string>& words) {
  std::vector<const char*> arguments{"rtctl"};
  for (const auto& word : words) arguments.push_back(word.c_str());
  std::ostringstream out;
  std::ostringstream err;
  const int status = run(static_cast<int>(arguments.size()), arguments.data(), {out, err});
  return {status, out.str(), err.str()};
}

std::string command_of(const std::vector<std::string>& words) {
  std::vector<const char*> arguments{"rtctl"};
  for (const auto& word : words) arguments.push_back(word.c_str());
  command_line line;
  line.parse(static_cast<int>(arguments.size()), arguments.data());
  return full_name(line.innermost());
}

TEST(Arguments, NamesOfCommandsMayBeNamesOfTasks) {
  EXPECT_EQ(command_of({"task", "stop", "ps"}), "rtctl task stop");
  EXPECT_EQ(command_of({"task", "stop", "stop", "task", "run"}), "rtctl task stop");
  EXPECT_EQ(command_of({"task", "run", "top", "run"}), "rtctl task run");
  EXPECT_EQ(command_of({"sandbox", "restart", "plugin"}), "rtctl sandbox restart");
  EXPECT_EQ(command_of({"logs", "--task", "logs"}), "rtctl logs");
}

TEST(Arguments, GlobalOptionsMayStandAnywhere) {
  for (const std::vector<std::string>& words : {std::vector<std::string>{"-o", "json", "ps"},
                                                {"ps", "-o", "json"},
                                                {"ps", "--output=json"},
                                                {"ps", "--json"}}) {
    std::vector<const char*> arguments{"rtctl"};
    for (const auto& word : words) arguments.push_back(word.c_str());
    command_line line;
    line.parse(static_cast<int>(arguments.size()), arguments.data());
    EXPECT_EQ(line.options().format, "json") << words.front();
  }
}

TEST(Arguments, MistakesAreWrongUsage) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> mistakes{
      {{"pss"}, "did you mean ps?"},
      {{"task", "strat", "x"}, "did you mean start?"},
      {{"ps", "--sandbx", "x"}, "did you mean --sandbox?"},
      {{"task", "stop"}, "NAME is required"},
      {{"task", "run", "hello"}, "ENTRY is required"},
      {{"ps", "extra"}, "too many arguments: \"extra\""},
      {{"-o", "xml", "ps"}, "\"xml\" is not known; give table, wide, json or jsonl"},
      {{"logs", "-n", "-1"}, "\"-1\" is no whole number from 0 to 10000"},
      {{"logs", "-n", "1x"}, "is no whole number"},
      {{"top", "-n", "0"}, "is no whole number from 1"},
      {{"top", "-i", "1ms"}, "too short"},
      {{"--timeout", "soon", "ps"}, "is no length of time"},
      {{"task", "stop", "x", "--grace", "soon"}, "is no length of time"},
      {{"task", "run", "p", "e", "--restart", "sometimes"}, "give always, on-failure or never"},
      {{"completion", "tcsh"}, "give bash, zsh or fish"},
      {{"ps", "--\x1b[31m"}, "\\x1b[31m"},
      {{"--socket", "", "ps"}, "the path of the control socket is empty"},
  };
  for (const auto& [words, expected] : mistakes) {
    const outcome result = run_words(words);
    EXPECT_EQ(result.status, 2) << words.front();
    EXPECT_EQ(result.out, "") << words.front();
    EXPECT_NE(result.err.find(expected), std::string::npos) << result.err;
    EXPECT_TRUE(result.err.starts_with("rtctl: ")) << result.err;
  }
}

TEST(Arguments, WithoutACommandThereIsHelp) {
  EXPECT_EQ(run_words({}).status, 2);
  EXPECT_NE(run_words({}).err.find("Usage: rtctl"), std::string::npos);
  EXPECT_EQ(run_words({"task"}).status, 2);
  EXPECT_NE(run_words({"task"}).err.find("Usage: rtctl task"), std::string::npos);
}

TEST(Arguments, HelpIsData) {
  const outcome help = run_words({"task", "run", "--help"});
  EXPECT_EQ(help.status, 0);
  EXPECT_EQ(help.err, "");
  EXPECT_NE(help.out.find("Usage: rtctl task run [OPTION]... PLUGIN ENTRY\n"), std::string::npos) << help.out;
  EXPECT_NE(help.out.find("--param KEY=VALUE"), std::string::npos);
  EXPECT_EQ(run_words({"--version"}).out, "rtctl 0.1.0\n");
}

TEST(Arguments, EveryCommandHasHelpOfReadableWidth) {
  const command_line line;
  const std::function<void(const CLI::App&)> visit = [&](const CLI::App& command) {
    const std::string page = help_formatter().make_help(&command, {}, CLI::AppFormatMode::Normal);
    EXPECT_FALSE(command.get_description().empty()) << full_name(command);
    std::istringstream lines(page);
    for (std::string text; std::getline(lines, text);)
      EXPECT_LE(text.size(), 112U) << full_name(command) << ": " << text;
    for (const CLI::Option* option : command.get_options())
      EXPECT_FALSE(option->get_description().empty()) << full_name(command) << " " << option->get_name();
    for (const CLI::App* inner : command.get_subcommands([](const CLI::App*) { return true; })) visit(*inner);
  };
  visit(line.root());
}

TEST(Parameters, RepeatedKeysMakeLists) {
  EXPECT_EQ(parameters_of({"a=1", "b=x=y", "c="}), json({{"a", "1"}, {"b", "x=y"}, {"c", ""}}));
  EXPECT_EQ(parameters_of({"a=1", "a=2", "a=3"}), json({{"a", {"1", "2", "3"}}}));
}

TEST(Parameters, NeedAKey) {
  EXPECT_THROW(parameters_of({"novalue"}), command_error);
  EXPECT_THROW(parameters_of({"=x"}), command_error);
}

}  // namespace
}  // namespace rtd::ctl
