#include "daemon/protocol/rpc.h"

#include <gtest/gtest.h>

#include <vector>

#include "daemon/protocol/json.h"
#include "random_source.h"

namespace rtd::protocol {
namespace {

using nlohmann::json;

error_kind kind_of(const json& message) {
  try {
    parse_request(message);
  } catch (const rpc_error& error) {
    return error.kind();
  }
  ADD_FAILURE() << "accepted: " << message;
  return error_kind::internal;
}

TEST(requests, good_ones) {
  const auto one = parse_request({{"jsonrpc", "2.0"}, {"id", 1}, {"method", "ps"}});
  EXPECT_EQ(one.id, 1);
  EXPECT_EQ(one.method, "ps");
  EXPECT_TRUE(one.params.is_object());
  const auto two = parse_request({{"jsonrpc", "2.0"}, {"id", "x"}, {"method", "ps"}, {"params", {{"sandbox", "s"}}}});
  EXPECT_EQ(two.params["sandbox"], "s");
}

TEST(requests, bad_ones) {
  for (const char* text :
       {"[]", "7", "{}", R"({"jsonrpc":"1.0","id":1,"method":"ps"})", R"({"jsonrpc":"2.0","method":"ps"})",
        R"({"jsonrpc":"2.0","id":null,"method":"ps"})", R"({"jsonrpc":"2.0","id":{},"method":"ps"})",
        R"({"jsonrpc":"2.0","id":1.5,"method":"ps"})", R"({"jsonrpc":"2.0","id":1,"method":7})",
        R"({"jsonrpc":"2.0","id":1,"method":"ps","params":[1]})", R"({"jsonrpc":"2.0","id":1,"method":"ps","more":1})",
        R"([{"jsonrpc":"2.0","id":1,"method":"ps"}])"})
    EXPECT_EQ(kind_of(json::parse(text)), error_kind::invalid_request) << text;
}

TEST(requests, the_id_of_a_bad_one) {
  EXPECT_EQ(id_of(json::parse(R"({"id":5})")), 5);
  EXPECT_EQ(id_of(json::parse(R"({"id":[5]})")), nullptr);
  EXPECT_EQ(id_of(json::parse("[]")), nullptr);
  EXPECT_EQ(id_of({{"id", std::string(200, 'x')}}), nullptr) << "a long id is not sent back";
}

TEST(responses, survive_the_way) {
  auto read = [](const std::string& line) {
    EXPECT_EQ(line.back(), '\n');
    return parse_response(*parse_json(line, control_limits).value);
  };
  const auto result = read(result_line(3, {{"a", 1}}));
  EXPECT_EQ(result.what, response::type::result);
  EXPECT_EQ(result.id, 3);
  EXPECT_EQ(result.value["a"], 1);

  const auto error = read(error_line("x", rpc_error(error_kind::not_found, "no task", {{"hint", "see ps"}})));
  ASSERT_EQ(error.what, response::type::error);
  EXPECT_EQ(error.error->kind(), error_kind::not_found);
  EXPECT_STREQ(error.error->what(), "no task");
  EXPECT_EQ(error.error->data()["hint"], "see ps");

  const auto event = read(notification_line("rtd.event", {{"seq", 1}}));
  EXPECT_EQ(event.what, response::type::notification);
  EXPECT_EQ(event.method, "rtd.event");
}

TEST(responses, nonsense_throws) {
  for (const char* text : {"1", "{}", R"({"error":7})", R"({"method":7})"})
    EXPECT_THROW(parse_response(json::parse(text)), std::runtime_error) << text;
}

TEST(errors, codes_and_names_match) {
  for (int i = 0; i <= static_cast<int>(error_kind::unsupported); ++i) {
    const auto kind = static_cast<error_kind>(i);
    EXPECT_EQ(error_kind_from(to_string(kind)), kind);
    EXPECT_TRUE(code_of(kind) == -32000 || (code_of(kind) <= -32600 && code_of(kind) >= -32700));
  }
}

TEST(requests, random_shapes_never_do_more_than_throw_rpc_error) {
  auto random = test::seeded_random();
  const std::vector<json> values = {nullptr,        1,    -1,        2.5, "2.0", "", true, json::array(),
                                    json::object(), "ps", {{"a", 1}}};
  const std::vector<std::string> keys = {"jsonrpc", "id", "method", "params", "x"};
  for (int round = 0; round < 20'000; ++round) {
    json message = json::object();
    for (const auto& key : keys)
      if (random() % 4 != 0) message[key] = values[random() % values.size()];
    try {
      parse_request(message);
    } catch (const rpc_error&) {
    }
    try {
      parse_response(message);
    } catch (const std::runtime_error&) {
    }
  }
}

}  // namespace
}  // namespace rtd::protocol
