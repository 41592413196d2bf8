// Circles of tasks that wait for each other.
#include "daemon/config/task_order.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace rtd::config {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// {"a", "bc"}: a after b and c.
std::map<std::string, task> tasks(std::initializer_list<std::pair<char, std::string>> references) {
  std::map<std::string, task> result;
  for (const auto& [name, others] : references) {
    task& one = result[std::string(1, name)];
    for (char other : others) (other < 'n' ? one.after : one.required).push_back(std::string(1, other));
  }
  return result;
}

TEST(task_order, WithoutACircleThereIsNone) {
  EXPECT_THAT(cycles_of({}), IsEmpty());
  EXPECT_THAT(cycles_of(tasks({{'a', "bc"}, {'b', "c"}, {'c', ""}, {'z', "abc"}})), IsEmpty());
  EXPECT_THAT(cycles_of(tasks({{'a', "y"}})), IsEmpty()) << "no such task";
}

TEST(task_order, NamesTheCircleAndNotWhoWaitsForIt) {
  EXPECT_THAT(cycles_of(tasks({{'a', "c"}, {'b', ""}, {'c', "bz"}, {'z', "d"}, {'d', "c"}})),
              ElementsAre(ElementsAre("c", "z", "d")));
}

TEST(task_order, FindsCirclesThatShareNoTask) {
  EXPECT_THAT(cycles_of(tasks({{'a', "b"}, {'b', "a"}, {'p', "q"}, {'q', "p"}, {'x', "ap"}})),
              ElementsAre(ElementsAre("a", "b"), ElementsAre("p", "q")));
}

TEST(task_order, AChainOfManyThousandIsNoTrouble) {
  std::map<std::string, task> chain;
  constexpr int length = 20'000;
  const auto name = [](int i) { return "t" + std::to_string(i); };
  for (int i = 0; i < length; ++i) chain[name(i)].required = {name(i + 1)};
  EXPECT_THAT(cycles_of(chain), IsEmpty());
  chain[name(length - 1)].after = {name(0)};
  ASSERT_EQ(cycles_of(chain).size(), 1U);
  EXPECT_EQ(cycles_of(chain).front().size(), static_cast<std::size_t>(length));
}

TEST(task_order, FindsACircleExactlyWhenThereIsOne) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  for (int round = 0; round < 500; ++round) {
    constexpr int count = 8;
    std::map<std::string, task> made;
    std::vector<std::vector<bool>> way(count, std::vector<bool>(count));
    for (int i = 0; i < count; ++i) {
      task& one = made[std::to_string(i)];
      for (int k = 0; k < count; ++k)
        if (k != i && random() % 7 == 0) {
          one.after.push_back(std::to_string(k));
          way[i][k] = true;
        }
    }
    for (int m = 0; m < count; ++m)
      for (int i = 0; i < count; ++i)
        for (int k = 0; k < count; ++k)
          if (way[i][m] && way[m][k]) way[i][k] = true;
    bool circle = false;
    for (int i = 0; i < count; ++i) circle = circle || way[i][i];
    const auto found = cycles_of(made);
    EXPECT_EQ(!found.empty(), circle);
    for (const auto& names : found)
      for (std::size_t i = 0; i < names.size(); ++i)
        EXPECT_THAT(made[names[i]].after, testing::Contains(names[(i + 1) % names.size()]));
  }
}

}  // namespace
}  // namespace rtd::config
