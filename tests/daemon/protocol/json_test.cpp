#include "daemon/protocol/json.h"

#include <gtest/gtest.h>

#include <functional>

#include "daemon/protocol/text.h"
#include "random_source.h"

namespace rtd::protocol {
namespace {

using nlohmann::json;

std::string nested(std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); }

TEST(bounded_json, reads_what_json_is) {
  const auto result = parse_json(
      R"( {"a":[1,-2,3.5,true,false,null,"x\u00e9\n"],"b":{"c":{}},"d":18446744073709551615} )", control_limits);
  ASSERT_TRUE(result) << result.error;
  const json& value = *result.value;
  EXPECT_EQ(value["a"][1], -2);
  EXPECT_EQ(value["a"][6], "x\xC3\xA9\n");
  EXPECT_TRUE(value["b"]["c"].is_object());
  EXPECT_EQ(value["d"].get<std::uint64_t>(), UINT64_MAX);
  EXPECT_EQ(*parse_json("7", control_limits).value, 7);
}

TEST(bounded_json, refuses_what_it_is_not) {
  for (const char* text : {"", " ", "{", "[1,]", "{\"a\":}", "nul", "{\"a\":1}x", "{'a':1}", "\"\x80\"", "1e999",
                           "[1 2]", "// x\n1", "\"a\nb\"", "{\"a\":1,\"a\":2}"}) {
    const auto result = parse_json(text, control_limits);
    EXPECT_FALSE(result) << text;
    EXPECT_NE(result.error, "") << text;
    EXPECT_EQ(result.error.find("json.exception"), std::string::npos) << result.error;
  }
}

TEST(bounded_json, names_the_key_that_comes_twice) {
  EXPECT_EQ(parse_json(R"({"x":{"key":1,"key":2}})", control_limits).error, "the key \"key\" comes twice");
}

TEST(bounded_json, depth_is_limited) {
  EXPECT_TRUE(parse_json(nested(32), control_limits));
  EXPECT_EQ(parse_json(nested(33), control_limits).error, "nested deeper than 32 levels");
  json_limits generous = link_limits;
  // Far deeper than any stack would bear, with brackets and with objects, closed and left open.
  EXPECT_FALSE(parse_json(nested(4'000'000), generous));
  EXPECT_FALSE(parse_json(std::string(8'000'000, '['), generous));
  std::string objects;
  for (int i = 0; i < 1'000'000; ++i) objects += "{\"a\":";
  EXPECT_FALSE(parse_json(objects, generous));
}

TEST(bounded_json, size_and_count_are_limited) {
  json_limits limits{100, 4, 10};
  EXPECT_FALSE(parse_json("\"" + std::string(100, 'x') + "\"", limits));
  EXPECT_TRUE(parse_json("[1,2,3,4,5,6,7,8,9]", limits));
  EXPECT_EQ(parse_json("[1,2,3,4,5,6,7,8,9,10]", limits).error, "more than 10 values");
}

TEST(bounded_json, siblings_after_nested_values_stay_in_place) {
  const std::string text = R"({"a":[[1,2],[3,[4]],{"b":[5]}],"c":{"d":{"e":6},"f":7},"g":[{},{},[]]})";
  EXPECT_EQ(*parse_json(text, control_limits).value, json::parse(text));
}

TEST(bounded_json, agrees_with_the_library_on_random_documents) {
  auto random = test::seeded_random();
  std::function<json(int)> make = [&](int depth) -> json {
    switch (random() % (depth > 5 ? 5 : 7)) {
      case 0:
        return nullptr;
      case 1:
        return static_cast<std::int64_t>(random());
      case 2:
        return static_cast<double>(random()) / 1e5;
      case 3:
        return clean_text(test::random_bytes(random, random() % 20));
      case 4:
        return random() % 2 == 0;
      case 5: {
        json array = json::array();
        for (std::size_t i = 0, n = random() % 5; i < n; ++i) array.push_back(make(depth + 1));
        return array;
      }
      default: {
        json object = json::object();
        for (std::size_t i = 0, n = random() % 5; i < n; ++i) object["k" + std::to_string(i)] = make(depth + 1);
        return object;
      }
    }
  };
  for (int round = 0; round < 2000; ++round) {
    const json document = make(0);
    const auto result = parse_json(to_line(document), control_limits);
    ASSERT_TRUE(result) << document << ": " << result.error;
    ASSERT_EQ(*result.value, document);
  }
}

TEST(bounded_json, garbage_and_damaged_documents) {
  auto random = test::seeded_random();
  const std::string good =
      R"({"jsonrpc":"2.0","id":17,"method":"task.run","params":{"plugin":"a","params":{"b":[1,2.5e3]}}})";
  for (int round = 0; round < 20'000; ++round) {
    std::string text = round % 2 == 0 ? test::random_bytes(random, random() % 100) : good;
    for (std::size_t i = 0, n = random() % 5; i < n && !text.empty(); ++i)
      text[random() % text.size()] = static_cast<char>(random() & 0xFF);
    const auto result = parse_json(text, control_limits);
    ASSERT_NE(result.value.has_value(), !result.error.empty());
    ASSERT_TRUE(is_utf8(result.error));
  }
}

TEST(to_line, never_throws_and_is_one_line) {
  const std::string line = to_line({{"x", "\xff\xfe\n\x01"}});
  EXPECT_EQ(line.find('\n'), std::string::npos);
  EXPECT_TRUE(is_utf8(line));
}

}  // namespace
}  // namespace rtd::protocol
