// Every file of the corpus: a bad one is answered with exactly the lines of its .expected file, a good one loads.
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "daemon/config/config.h"
#include "daemon/config/schema.h"
#include "tests/daemon/config/corpus.h"

namespace rtd::config::test {
namespace {

class bad_file : public testing::TestWithParam<std::filesystem::path> {};

TEST_P(bad_file, IsAnsweredWithEachMistakeAndItsPlace) {
  const std::filesystem::path& path = GetParam();
  const load_result result = load_text(read(path), "/etc/rtd");
  EXPECT_FALSE(result.value);
  std::string lines;
  for (const problem& found : result.problems) lines += format(found, path.filename().string()) + '\n';
  std::filesystem::path expected = path;
  EXPECT_EQ(lines, read(expected.replace_extension(".expected")));
}

INSTANTIATE_TEST_SUITE_P(corpus, bad_file, testing::ValuesIn(bad_files()),
                         [](const auto& chosen) { return test_name(chosen.param); });

class good_file : public testing::TestWithParam<std::filesystem::path> {};

TEST_P(good_file, Loads) {
  const load_result result = load_file(GetParam());
  for (const problem& found : result.problems) ADD_FAILURE() << format(found, GetParam().string());
  EXPECT_TRUE(result.value);
}

TEST_P(good_file, LoadsAgainFromItsDocument) {
  const load_result result = load_file(GetParam());
  ASSERT_TRUE(result.value);
  const nlohmann::json document = to_json(*result.value);
  for (const int indent : {-1, 2}) {
    const load_result again = load_text(document.dump(indent), "/somewhere/else");
    for (const problem& found : again.problems) ADD_FAILURE() << format(found, "document");
    ASSERT_TRUE(again.value);
    EXPECT_EQ(*again.value, *result.value);
    EXPECT_EQ(to_json(*again.value), document);
  }
}

INSTANTIATE_TEST_SUITE_P(corpus, good_file, testing::ValuesIn(good_files()),
                         [](const auto& chosen) { return test_name(chosen.param); });

TEST(corpus, HasTenMistakesInOneFile) {
  const load_result result = load_file(RTD_CONFIG_TEST_DATA "/bad/ten_mistakes.json");
  EXPECT_GE(result.problems.size(), 10U);
  for (const problem& found : result.problems) {
    EXPECT_GT(found.line, 0) << found.message;
    EXPECT_GT(found.column, 0) << found.message;
    EXPECT_FALSE(found.pointer.empty()) << found.message;
  }
}

TEST(shipped_config, StartsEveryTaskButStress) {
  const load_result result = load_file(RTD_SHIPPED_CONFIG "/rtd.json");
  ASSERT_TRUE(result.value);
  EXPECT_EQ(result.value->plugins.at("hello").path, "/usr/lib/rtd/plugins/hello.so");
  EXPECT_EQ(result.value->http.listen, (endpoint{"127.0.0.1", 9180}));
  EXPECT_TRUE(result.value->control.roles.empty());
  for (const auto& [name, task] : result.value->tasks) {
    EXPECT_EQ(task.autostart, name != "stress") << name;
    EXPECT_EQ(task.sandbox, "default") << name;
  }
}

TEST(schema, IsEmbeddedAsItLiesInTheTree) {
  EXPECT_EQ(schema_text(), read(RTD_SHIPPED_CONFIG "/rtd.schema.json"));
  EXPECT_TRUE(nlohmann::json::accept(schema_text()));
}

}  // namespace
}  // namespace rtd::config::test
