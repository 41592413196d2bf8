#include "daemon/protocol/methods.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace rtd::protocol {
namespace {

using nlohmann::json;

rpc_error refusal(const char* method, const json& params) {
  try {
    check_params(*find_method(method), params);
  } catch (const rpc_error& error) {
    return error;
  }
  ADD_FAILURE() << method << " accepted " << params;
  return rpc_error(error_kind::internal, "");
}

TEST(method_table, is_in_order_and_described) {
  EXPECT_TRUE(std::ranges::is_sorted(methods(), {}, &method_info::name));
  for (const auto& method : methods()) {
    EXPECT_NE(method.needs, role::none) << method.name;
    EXPECT_FALSE(method.description.empty()) << method.name;
    EXPECT_TRUE(!method.changes || method.needs != role::view) << method.name << " changes something";
    for (const auto& param : method.params) EXPECT_FALSE(param.description.empty()) << method.name;
  }
  EXPECT_EQ(describe_methods()["methods"].size(), methods().size());
}

TEST(method_table, unknown_names) {
  EXPECT_EQ(find_method("stauts"), nullptr);
  EXPECT_EQ(unknown_method("stauts").data()["hint"], "did you mean \"status\"?");
  EXPECT_EQ(unknown_method("zzzzzzzz").data()["hint"], "rpc.discover lists the methods");
  EXPECT_THAT(unknown_method("\x1b[2J").what(), testing::HasSubstr("\\x1b"));
}

TEST(params, good_ones) {
  check_params(*find_method("ps"), json::object());
  check_params(*find_method("ps"), {{"sandbox", nullptr}});
  check_params(*find_method("task.run"),
               {{"plugin", "hello"}, {"entry", "serve"}, {"params", json::object()}, {"restart", "never"}});
  check_params(*find_method("logs"), {{"limit", 5}, {"since_seconds", 1.5}, {"follow", true}});
}

TEST(params, bad_ones_name_the_parameter_and_the_remedy) {
  const auto unknown = refusal("ps", {{"sandbx", "x"}});
  EXPECT_EQ(unknown.kind(), error_kind::invalid_params);
  EXPECT_EQ(unknown.data()["hint"], "did you mean \"sandbox\"?");
  EXPECT_EQ(unknown.data()["pointer"], "/params/sandbx");
  EXPECT_STREQ(refusal("task.stop", json::object()).what(), "parameter \"name\" is missing");
  EXPECT_THAT(refusal("task.stop", {{"name", 7}}).what(), testing::HasSubstr("must be of type string, not number"));
  EXPECT_THAT(refusal("task.stop", {{"name", nullptr}}).what(), testing::HasSubstr("must be of type string, not null"));
  EXPECT_THAT(refusal("task.stop", {{"name", "../x"}}).what(), testing::HasSubstr("is no name"));
  EXPECT_THAT(refusal("logs", {{"limit", -1}}).what(), testing::HasSubstr("out of range"));
  EXPECT_THAT(refusal("logs", {{"limit", 1.5}}).what(), testing::HasSubstr("integer"));
  EXPECT_THAT(refusal("logs", {{"follow", 1}}).what(), testing::HasSubstr("boolean"));
  EXPECT_THAT(refusal("plugin.check", {{"path", std::string("a\0b", 3)}}).what(), testing::HasSubstr("zero byte"));
  EXPECT_EQ(refusal("status", {{"x", 1}}).data()["hint"], "status takes no parameters");
}

}  // namespace
}  // namespace rtd::protocol
