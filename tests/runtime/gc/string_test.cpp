// rt::string.
#include <gtest/gtest.h>

#include <sstream>
#include <string>
#include <unordered_set>
#include <vector>

#include "rt/string.h"
#include "rt/vector.h"
#include "tests/runtime/gc/container_contents.h"
#include "tests/runtime/in_runtime.h"
#include "tests/runtime/seeds.h"

namespace {

static_assert(std::is_trivially_destructible_v<rt::string>);

RT_ON_PROCS(string);

TEST_P(string, is_a_value_that_converts_to_a_view) {
  run([] {
    rt::string empty;
    EXPECT_TRUE(empty.empty());
    EXPECT_EQ(empty, "");
    rt::string one = "hello, world";
    EXPECT_EQ(one.size(), 12U);
    EXPECT_EQ(one, std::string("hello, world"));
    EXPECT_EQ(std::string(one.view()), "hello, world");
    EXPECT_EQ(one.substr(7), "world");
    EXPECT_EQ(one.substr(7).data(), one.data() + 7);
    EXPECT_EQ(one.substr(12), "");
    EXPECT_EQ(one.substr(1, 3), "ell");
    EXPECT_THROW(one.substr(13), std::out_of_range);
    EXPECT_THROW(static_cast<void>(one.at(12)), std::out_of_range);
    EXPECT_EQ(one.at(4), 'o');
    EXPECT_EQ("<" + one.substr(0, 5) + ">", "<hello>");
    EXPECT_EQ(one + one.substr(5, 1), "hello, world,");
    EXPECT_LT(one, rt::string("hello, z"));
    EXPECT_GT(one, "hello");
    EXPECT_EQ(one.find("wor"), 7U);
    EXPECT_EQ(one.find('z'), rt::string::npos);
    EXPECT_TRUE(one.starts_with("hell") && one.ends_with("ld"));
    rt::string with_zero(std::string_view("a\0b", 3));
    EXPECT_EQ(with_zero.size(), 3U);
    std::ostringstream text;
    text << one;
    EXPECT_EQ(text.str(), "hello, world");
    rt::string other = one;
    one = "else";
    EXPECT_EQ(other, "hello, world");
    EXPECT_EQ(rt::hash<rt::string>()(other, 5), rt::hash<std::string_view>()("hello, world", 5));
    EXPECT_NE(rt::hash<rt::string>()(other, 5), rt::hash<rt::string>()(other, 6));
    EXPECT_EQ(std::unordered_set<std::string>{"x"}.count(std::string(rt::string("x").view())), 1U);
  });
}

TEST_P(string, parts_keep_the_characters) {
  rt_test::seeds seeds;
  run([&] {
    std::mt19937 random = seeds.source(0);
    rt::vector<rt::string> tested;
    std::vector<std::string> expected;
    rt_test::collections collect(200);
    for (int i = 0; i < rt_test::scaled(2000); ++i) {
      collect.step();
      std::string text(random() % 200 + 1, static_cast<char>('a' + random() % 26));
      text += std::to_string(i);
      std::size_t from = random() % text.size();
      tested.push_back(rt::string(text).substr(from));
      expected.push_back(text.substr(from));
      if (tested.size() > 100) {
        std::size_t at = random() % 100;
        tested[at] = tested[at] + tested.back().substr(tested.back().size() / 2);
        expected[at] += expected.back().substr(expected.back().size() / 2);
        tested.pop_back();
        expected.pop_back();
      }
    }
    for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_EQ(tested[i], expected[i]);
  });
}

}  // namespace
