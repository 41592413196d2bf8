#include "daemon/ctl/completion.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rtd::ctl {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::IsSupersetOf;
using testing::Not;

std::vector<candidate> known_names(const live_query& query) {
  switch (query.source) {
    case value_source::tasks:
      return {{"greeter", "running, hello"}, {"probe", "failed, prober"}};
    case value_source::running_tasks:
      return {{"greeter", "running, hello"}};
    case value_source::ended_tasks:
      return {{"probe", "failed, prober"}};
    case value_source::sandboxes:
      return {{"batch", "up"}, {"default", "up"}};
    case value_source::plugins:
      return {{"hello", "Greets"}, {"prober", "Checks"}};
    case value_source::entries:
      return {{"of_" + query.arguments.at(0), ""}};
    default:
      return {};
  }
}

std::vector<std::string> words_for(const std::vector<std::string>& words) {
  const command_line line;
  std::vector<std::string> result;
  for (const auto& one : complete(line, words, known_names).candidates) result.push_back(one.word);
  return result;
}

int directives_for(const std::vector<std::string>& words) {
  const command_line line;
  return complete(line, words, known_names).directives;
}

TEST(Completion, OffersCommands) {
  EXPECT_THAT(words_for({"s"}), ElementsAre("status", "sandbox", "stacks"));
  EXPECT_THAT(words_for({""}), IsSupersetOf({"ps", "task", "logs", "completion"}));
  EXPECT_THAT(words_for({}), Contains("ps"));
  EXPECT_THAT(words_for({"task", "st"}), ElementsAre("stop", "start"));
  EXPECT_THAT(words_for({"nonsense", ""}), IsEmpty());
  EXPECT_THAT(words_for({""}), Not(Contains("__complete")));
}

TEST(Completion, OffersOptionsOfTheCommandAndGlobalOnes) {
  EXPECT_THAT(words_for({"logs", "--s"}), ElementsAre("--since", "--sandbox", "--socket"));
  EXPECT_THAT(words_for({"--no"}), ElementsAre("--no-headers"));
  EXPECT_THAT(words_for({"logs", "-"}), Contains("--follow"));
}

TEST(Completion, OffersValues) {
  EXPECT_THAT(words_for({"-o", ""}), ElementsAre("table", "wide", "json", "jsonl"));
  EXPECT_THAT(words_for({"ps", "--output", "w"}), ElementsAre("wide"));
  EXPECT_THAT(words_for({"ps", "--output=j"}), ElementsAre("--output=json", "--output=jsonl"));
  EXPECT_THAT(words_for({"completion", ""}), ElementsAre("bash", "zsh", "fish"));
  EXPECT_THAT(words_for({"log-level", "w"}), ElementsAre("warn"));
  EXPECT_THAT(words_for({"ps", "--timeout", ""}), IsEmpty()) << "nothing can be offered, least of all commands";
}

TEST(Completion, OffersLiveNames) {
  EXPECT_THAT(words_for({"task", "stop", ""}), ElementsAre("greeter"));
  EXPECT_THAT(words_for({"task", "start", ""}), ElementsAre("probe"));
  EXPECT_THAT(words_for({"task", "inspect", "p"}), ElementsAre("probe"));
  EXPECT_THAT(words_for({"task", "restart", "greeter", ""}), ElementsAre("probe")) << "not what is there already";
  EXPECT_THAT(words_for({"task", "inspect", "greeter", ""}), IsEmpty()) << "it takes one name";
  EXPECT_THAT(words_for({"sandbox", "restart", "d"}), ElementsAre("default"));
  EXPECT_THAT(words_for({"logs", "--sandbox", ""}), ElementsAre("batch", "default"));
  EXPECT_THAT(words_for({"logs", "--task=g"}), ElementsAre("--task=greeter"));
}

TEST(Completion, OffersEntriesOfTheGivenPlugin) {
  EXPECT_THAT(words_for({"task", "run", "h"}), ElementsAre("hello"));
  EXPECT_THAT(words_for({"task", "run", "hello", ""}), ElementsAre("of_hello"));
  EXPECT_THAT(words_for({"task", "run", "--name", "x", "--wait", "prober", ""}), ElementsAre("of_prober"));
  EXPECT_THAT(words_for({"task", "run", "hello", "serve", ""}), IsEmpty());
}

TEST(Completion, StepsOverOptionsWithAndWithoutValues) {
  EXPECT_THAT(words_for({"-q", "task", "st"}), ElementsAre("stop", "start"));
  EXPECT_THAT(words_for({"-o", "json", "task", "st"}), ElementsAre("stop", "start"));
  EXPECT_THAT(words_for({"-ojson", "task", "st"}), ElementsAre("stop", "start"));
  EXPECT_THAT(words_for({"-qo", "json", "task", "st"}), ElementsAre("stop", "start"));
  EXPECT_THAT(words_for({"--unknown", "task", "st"}), ElementsAre("stop", "start"));
  EXPECT_THAT(words_for({"task", "stop", "--", "g"}), ElementsAre("greeter"));
  EXPECT_THAT(words_for({"task", "stop", "--", "--"}), IsEmpty());
}

TEST(Completion, LeavesFilesToTheShell) {
  EXPECT_EQ(directives_for({"plugin", "check", ""}) & directive_no_files, 0);
  EXPECT_EQ(directives_for({"config", "check", "rtd"}) & directive_no_files, 0);
  EXPECT_EQ(directives_for({"--socket=/ru"}) & directive_no_files, 0);
  EXPECT_EQ(directives_for({"task", "stop", ""}) & directive_no_files, directive_no_files);
  EXPECT_EQ(directives_for({""}) & directive_no_files, directive_no_files);
}

TEST(Completion, AsksTheSocketOfTheLine) {
  const command_line line;
  std::string asked;
  const live_lookup lookup = [&](const live_query& query) {
    asked = query.socket;
    return std::vector<candidate>();
  };
  complete(line, {"--socket", "/a", "task", "stop", ""}, lookup);
  EXPECT_EQ(asked, "/a");
  complete(line, {"task", "--socket=/b", "stop", ""}, lookup);
  EXPECT_EQ(asked, "/b");
  complete(line, {"task", "stop", ""}, lookup);
  EXPECT_EQ(asked, line.options().socket);
}

TEST(Completion, HasNoNamesWithoutRtd) {
  EXPECT_THAT(names_from_rtd({value_source::tasks, "/nonexistent/socket", {}}), IsEmpty());
}

TEST(Completion, IsTextForScripts) {
  EXPECT_EQ(to_text({{{"a", "one"}, {"b", ""}}, directive_no_files}), "a\tone\nb\n:4\n");
  EXPECT_EQ(to_text({{}, 0}), ":0\n");
}

TEST(Completion, HasScriptsForThreeShells) {
  for (const char* shell : {"bash", "zsh", "fish"}) EXPECT_NE(completion_script(shell), "") << shell;
  EXPECT_EQ(completion_script("tcsh"), "");
}

}  // namespace
}  // namespace rtd::ctl
